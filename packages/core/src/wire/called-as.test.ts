import { describe, expect, test } from "vitest";
import { cannot, Operation, quoted } from "../errors.ts";
import { calledAs, FileMethod, isReserved, ReservedMethod } from "./called-as.ts";
import { EncodedValue } from "./encoded-value.ts";

describe("calledAs", () => {
  test.each<[string, unknown, string]>([
    [ReservedMethod.PUBLISH, { topic: "room:7", data: 1 }, 'publish to "room:7"'],
    [ReservedMethod.SUBSCRIBE, { topic: "room:7" }, 'subscribe to "room:7"'],
    [ReservedMethod.UNSUBSCRIBE, { topic: "room:7" }, 'unsubscribe from "room:7"'],
    [FileMethod.OFFSET, { folder: "box", name: "x.bin" }, 'upload "x.bin"'],
    [FileMethod.UPLOAD, { folder: "box", name: "x.bin" }, 'upload "x.bin"'],
    [FileMethod.DOWNLOAD, { folder: "box", name: "x.bin" }, 'download "x.bin"'],
    [FileMethod.LIST, { folder: "box" }, 'list "box"'],
    [FileMethod.STAT, { folder: "box", name: "x.bin" }, 'stat "x.bin"'],
    [FileMethod.REMOVE, { folder: "box", name: "x.bin" }, 'remove "x.bin"'],
    [ReservedMethod.ONCE, { key: "k", method: "pay", params: {} }, "'pay'"],
    [ReservedMethod.ONCE, { key: "k", type: "order", data: {} }, "'order'"],
    ["pay", { topic: "x" }, "'pay'"],
    ["$own", {}, "'$own'"],
    ["files:own", {}, "'files:own'"],
  ])("%s with %j is %s", (method, params, text) => {
    expect(quoted(calledAs(method, params))).toBe(text);
  });

  test.each([...Object.values(ReservedMethod), ...Object.values(FileMethod)])("%s is never named itself", (method) => {
    for (const params of [undefined, null, 7, {}, { topic: 1, name: null, folder: [], method: 5, type: {} }]) {
      expect(String(calledAs(method, params))).not.toContain(method);
      expect(isReserved(method)).toBe(true);
    }
  });

  test("takes the name of what was encoded before", () => {
    const value = new EncodedValue(new Uint8Array(1), new Operation('publish to "a"'));
    expect(quoted(calledAs(ReservedMethod.PUBLISH, value))).toBe('publish to "a"');
    expect(quoted(calledAs(ReservedMethod.PUBLISH, new EncodedValue(new Uint8Array(1))))).toBe("'$topic.publish'");
  });

  test("shortens long names", () => {
    expect(String(calledAs(ReservedMethod.PUBLISH, { topic: "x".repeat(5000) })).length).toBeLessThan(100);
  });
});

test("cannot() is the begin of a message", () => {
  expect([cannot("send", "pay"), cannot("send", new Operation('publish to "a"'))]).toEqual([
    "Cannot send 'pay'",
    'Cannot publish to "a"',
  ]);
});
