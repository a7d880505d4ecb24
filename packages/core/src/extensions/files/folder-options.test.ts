import { expect, test } from "vitest";
import { parseFolderOptions } from "./folder-options.ts";

test("a folder lets nobody do anything, limits nothing and keeps unfinished files for a day, unless it is told", () => {
  expect(parseFolderOptions("box", { dir: "/srv" })).toEqual({
    dir: "/srv",
    access: null,
    upload: false,
    download: false,
    remove: false,
    netconduit: false,
    maxFileBytes: Number.POSITIVE_INFINITY,
    quotaBytes: Number.POSITIVE_INFINITY,
    overwrite: "fail",
    expireMs: 24 * 60 * 60 * 1000,
    authorize: undefined,
  });
});

test.each<[string, unknown, unknown, RegExp]>([
  ["a name that isn't text", 7, { dir: "/srv" }, /option name of files: must be a non-empty string, got .*7/],
  ["an empty name", "", { dir: "/srv" }, /option name of files: must be a non-empty string/],
  ["no options", "box", undefined, /option options of files: must be an object, got undefined/],
  ["null as options", "box", null, /option options of files: must be an object, got null/],
  [
    "an unknown option",
    "box",
    { dir: "/srv", uploads: true },
    /^Unknown option uploads of files\("box"\); did you mean upload\?$/,
  ],
  ["no dir", "box", {}, /option dir of files: must be a path, got undefined/],
  ["an empty dir", "box", { dir: "" }, /option dir of files: must be a path/],
  ["a dir with a zero byte", "box", { dir: "a\0b" }, /option dir of files: must be a path/],
  ["text as a boolean", "box", { dir: "/srv", upload: "yes" }, /option upload of files: must be a boolean/],
  ["a limit of zero", "box", { dir: "/srv", quotaBytes: 0 }, /option quotaBytes of files: must be a positive integer/],
  [
    "half a byte",
    "box",
    { dir: "/srv", maxFileBytes: 0.5 },
    /option maxFileBytes of files: must be a positive integer/,
  ],
  ["text as a time", "box", { dir: "/srv", expireMs: "1d" }, /option expireMs of files: must be a positive integer/],
  [
    "an unknown policy",
    "box",
    { dir: "/srv", overwrite: "ask" },
    /overwrite of files: must be "fail", "replace" or "rename", got "ask"/,
  ],
  ["a list of peers as authorize", "box", { dir: "/srv", authorize: [] }, /authorize of files: must be a function/],
])("%s for a folder throws INVALID_CONFIG, which names the option and its rule", (_, name, options, message) => {
  expect(() => parseFolderOptions(name, options as never)).toThrow(
    expect.objectContaining({ codeName: "INVALID_CONFIG", message: expect.stringMatching(message) }),
  );
});
