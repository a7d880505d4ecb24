import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { FEW_ITERATIONS } from "../test-support/peers.ts";
import { encodeBase64 } from "../util/base64.ts";
import { formatUsersFile, newUsersFile } from "./users-file.ts";
import { usersFile } from "./users-file-lookup.ts";
import { scramVerifier } from "./verifier.ts";

const runtime = fakeRuntime();
const [ada, other] = await Promise.all(
  ["lovelace", "byron"].map((password) => scramVerifier(password, runtime, { iterations: FEW_ITERATIONS })),
);
const empty = newUsersFile(runtime.crypto);

type Entry = readonly [name: string, verifier: string | undefined, roles?: readonly string[]];

function text(...users: Entry[]): string {
  const entries = users.map(([name, verifier = "", roles = []]) => [name, { verifier, roles }] as const);
  return formatUsersFile({ ...empty, users: new Map(entries) });
}

test("a user of the file is found with the roles, and any other name isn't", async () => {
  const { scram, secret } = await usersFile("users.json", async () => text(["ada", ada, ["admin"]]));
  expect(await scram("ada")).toEqual({ verifier: ada, roles: ["admin"] });
  expect(await scram("bob")).toBeNull();
  expect(secret).toBe(encodeBase64(empty.secret));
});

test("reload() tells who was added, changed and removed, and logins see that", async () => {
  let file = text(["ada", ada], ["bob", ada], ["eve", ada]);
  const users = await usersFile("users.json", async () => file);
  file = text(["ada", ada], ["bob", other], ["tom", ada]);
  expect(await users.scram("tom")).toBeNull();
  expect(await users.reload()).toEqual({ added: ["tom"], changed: ["bob"], removed: ["eve"] });
  expect(await users.scram("tom")).not.toBeNull();
  expect(await users.scram("eve")).toBeNull();
});

test("a file that can't be read or is invalid is INVALID_CONFIG, and the users stay", async () => {
  let read = async (): Promise<string> => text(["ada", ada]);
  const users = await usersFile("users.json", () => read());
  for (const broken of [async () => Promise.reject(new Error("ENOENT")), async () => "{}"]) {
    read = broken;
    const refused = { code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining("users.json") };
    await expect(users.reload()).rejects.toMatchObject(refused);
    await expect(usersFile("users.json", broken)).rejects.toMatchObject(refused);
    expect(await users.scram("ada")).not.toBeNull();
  }
});
