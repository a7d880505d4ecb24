import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NODE_SOURCES } from "../../../docs-tests/lib/runtimes.ts";
import { usersCommand } from "./users-command.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "netconduit-users-"));
  file = join(folder, "users.json");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function run(args: string[], password = "lovelace"): Promise<string> {
  let printed = "";
  await usersCommand(args, { print: (text) => (printed += text), readPassword: async () => password });
  return printed;
}

const few = ["--iterations", "4096"];

describe("netconduit-users", () => {
  test("adds users to a file that nobody else may read, and lists them", async () => {
    await run(["add", file, "ada", "--role", "admin", "--role", "operator", ...few]);
    await run(["add", file, "bob", ...few]);
    expect(await run(["list", file])).toBe("ada (admin, operator)\nbob\n");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(["users.json"]);
  });

  test("keeps no password", async () => {
    await run(["add", file, "ada", ...few], "difference engine");
    expect(await readFile(file, "utf8")).not.toContain("difference engine");
  });

  test("changes a password and keeps roles and secret", async () => {
    await run(["add", file, "ada", "--role", "admin", ...few]);
    const before = JSON.parse(await readFile(file, "utf8"));
    await run(["passwd", file, "ada", ...few], "byron");
    const after = JSON.parse(await readFile(file, "utf8"));
    expect([after.secret, after.users.ada.roles]).toEqual([before.secret, ["admin"]]);
    expect(after.users.ada.verifier).not.toBe(before.users.ada.verifier);
  });

  test("removes a user", async () => {
    await run(["add", file, "ada", ...few]);
    await run(["remove", file, "ada"]);
    expect(await run(["list", file])).toBe("");
  });

  test.each([
    ["a user that is there", ["add", "FILE", "ada"], "There is a user 'ada' already"],
    ["a name that isn't allowed", ["add", "FILE", "netconduit"], "which stands for the shared password"],
    ["a user that isn't there", ["remove", "FILE", "bob"], "There is no user 'bob'"],
    ["a command that isn't there", ["delete", "FILE", "ada"], "Usage:"],
    ["a missing name", ["passwd", "FILE"], "Usage:"],
    ["a password on the command line", ["add", "FILE", "bob", "secret"], "Usage:"],
    ["an unknown option", ["add", "FILE", "bob", "--password", "secret"], "Unknown option"],
    ["too few iterations", ["passwd", "FILE", "ada", "--iterations", "1"], "Invalid option iterations"],
  ])("refuses %s, and the file stays", async (_, args, message) => {
    await run(["add", file, "ada", ...few]);
    const before = await readFile(file, "utf8");
    await expect(run(args.map((arg) => (arg === "FILE" ? file : arg)))).rejects.toThrow(message);
    expect(await readFile(file, "utf8")).toBe(before);
  });

  test("doesn't touch a file that isn't one of users", async () => {
    await writeFile(file, "{}");
    await expect(run(["add", file, "ada", ...few])).rejects.toThrow("is invalid");
    expect(await readFile(file, "utf8")).toBe("{}");
  });

  test("says how it is used", async () => {
    expect(await run(["--help"])).toContain("Usage: netconduit-users");
    expect(await run([])).toContain("Usage: netconduit-users");
  });

  test("as a program reads the password from standard input", async () => {
    const bin = fileURLToPath(new URL("./users-bin.ts", import.meta.url));
    const args = [...NODE_SOURCES, bin, "add", file, "ada", ...few];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "inherit", "inherit"] });
    child.stdin.end("lovelace\nsecond line\n");
    expect((await once(child, "close"))[0]).toBe(0);
    expect(await run(["list", file])).toBe("ada\n");
  });
});
