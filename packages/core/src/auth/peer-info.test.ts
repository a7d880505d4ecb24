import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clippedText, infoPayload, parsePeerInfo } from "./peer-info.ts";

describe("parsePeerInfo", () => {
  test("takes a peer without extensions for a netconduit peer", () => {
    const info = { name: "a", version: "1" };
    expect(parsePeerInfo(info, undefined).netconduit).toBe(true);
    expect(parsePeerInfo(info, {}).netconduit).toBe(false);
  });

  test("reads what was written", () => {
    const info = { name: "a", version: "1", description: "d" };
    expect(parsePeerInfo(infoPayload(info), {})).toEqual({ ...info, netconduit: false });
  });

  test("is frozen", () => {
    expect(Object.isFrozen(parsePeerInfo({ name: "a" }, {}))).toBe(true);
  });

  test("reads four fields from any value", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (info, extensions) => {
        const { name, version, description, netconduit } = parsePeerInfo(info, extensions);
        expect([name, version, description, netconduit].map((value) => typeof value)).toEqual([
          "string",
          "string",
          "string",
          "boolean",
        ]);
      }),
    );
  });
});

describe("clippedText", () => {
  test("is one line, so that it doesn't pass for several lines of a log", () => {
    expect(clippedText("a\r\n\u001b[2Jb\u0085c é")).toBe("a   [2Jb c é");
  });

  test("keeps 256 units", () => {
    expect(clippedText("x".repeat(256))).toHaveLength(256);
    expect(clippedText("x".repeat(257))).toHaveLength(256);
  });

  test("never splits a character", () => {
    expect(clippedText(`${"x".repeat(255)}🎈`)).toBe("x".repeat(255));
    expect(clippedText(`${"x".repeat(254)}🎈y`)).toBe(`${"x".repeat(254)}🎈`);
  });
});
