import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { SocketErrors } from "./socket-errors.ts";
import { bindUnixSocket, type SocketFiles } from "./unix-socket.ts";

const errors = new SocketErrors((cause) => (cause as { code?: string }).code ?? "");
const coded = (code: string): Error => Object.assign(new Error(code), { code });

const fail = (): Promise<never> => Promise.reject(new Error("not asked for"));
const noFiles: SocketFiles = { readText: fail, stat: fail, remove: fail, link: fail, create: fail };
const sleep = async (): Promise<void> => {};
const probe = fail;

describe("bindUnixSocket", () => {
  /** Simulates an existing file at the path. Counts attempts to bind and removals. */
  function inTheWay(facts: { isSocket?: boolean | null; answer?: string; removal?: string }) {
    const seen = { binds: 0, removed: 0 };
    const probe = async (): Promise<void> => {
      if (facts.answer !== undefined) throw coded(facts.answer);
    };
    const files: SocketFiles = {
      ...noFiles,
      stat: async () => ({ isSocket: facts.isSocket ?? null, inode: 1 }),
      create: async () => {},
      remove: async (path) => {
        if (path === "/x.sock.lock") return;
        seen.removed += 1;
        if (facts.removal !== undefined) throw coded(facts.removal);
      },
    };
    const bind = async (): Promise<string> => {
      seen.binds += 1;
      if (seen.binds === 1) throw coded("EADDRINUSE");
      return "bound";
    };
    return { seen, bound: bindUnixSocket("/x.sock", bind, { files, errors, probe, sleep }) };
  }

  test("a file without a server is removed", async () => {
    const { seen, bound } = inTheWay({ isSocket: true, answer: "ECONNREFUSED" });
    expect([await bound, seen]).toEqual(["bound", { binds: 2, removed: 1 }]);
  });

  test("where the system cannot tell a socket from a file, asking decides", async () => {
    expect(await inTheWay({ isSocket: null, answer: "ECONNREFUSED" }).bound).toBe("bound");
  });

  test("a file that is gone before it can be removed is as good as removed", async () => {
    expect(await inTheWay({ isSocket: true, answer: "ENOENT", removal: "ENOENT" }).bound).toBe("bound");
  });

  test.for([
    ["somebody answers at", { isSocket: true }, ErrorCode.ADDRESS_IN_USE],
    ["may not be asked at", { isSocket: true, answer: "EACCES" }, ErrorCode.ADDRESS_IN_USE],
    ["is no socket", { isSocket: false }, ErrorCode.ADDRESS_IN_USE],
  ] as const)("a file that %s stays", async ([, facts, code]) => {
    const { seen, bound } = inTheWay(facts);
    await expect(bound).rejects.toMatchObject({ code });
    expect(seen.removed).toBe(0);
  });

  test("a file that may not be removed is ADDRESS_IN_USE", async () => {
    const { bound } = inTheWay({ isSocket: true, answer: "ECONNREFUSED", removal: "EPERM" });
    await expect(bound).rejects.toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
  });

  test("a failure other than a file in the way is reported at once", async () => {
    const bound = bindUnixSocket("/x.sock", () => Promise.reject(coded("EIO")), {
      files: noFiles,
      errors,
      probe,
      sleep,
    });
    await expect(bound).rejects.toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });

  test.for([
    ["EACCES", false, "/run/app/x.sock", "there is no folder /run/app"],
    ["EACCES", true, "/run/app/x.sock", ": EACCES"],
    ["EACCES", undefined, "/run/app/x.sock", ": EACCES"],
    ["ENOENT", false, "/x.sock", "there is no folder /"],
    ["ENOENT", true, "/x.sock", ": ENOENT"],
    ["ENOENT", undefined, "x.sock", "there is no folder ."],
  ] as const)("%s, and whether the folder exists is %s: of %s it says %s", async ([code, exists, path, words]) => {
    const files = exists === undefined ? noFiles : { ...noFiles, exists: async () => exists };
    const bound = bindUnixSocket(path, () => Promise.reject(coded(code)), { files, errors, probe, sleep });
    await expect(bound).rejects.toMatchObject({
      code: ErrorCode.ADDRESS_UNAVAILABLE,
      message: expect.stringMatching(new RegExp(`^Cannot listen on unix:${path}: .*${words.replace(": ", "")}$`)),
    });
  });
});
