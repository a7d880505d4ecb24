import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeToken, fitsControlLine, streamToken, subjectOf } from "./subjects.ts";

test("letters, digits, _ and - aren't escaped in a token", () => {
  expect(encodeToken("Room_7-b")).toBe("Room_7-b");
});

test("all other characters are escaped as = and their UTF-8 bytes in hexadecimal", () => {
  expect(encodeToken("room:7.*>")).toBe("room=3A7=2E=2A=3E");
  expect(encodeToken("über 🚀!~'()")).toBe("=C3=BCber=20=F0=9F=9A=80=21=7E=27=28=29");
});

test("each name is one token, and different names have different tokens", () => {
  const name = fc.string({ unit: "grapheme", maxLength: 20 });
  fc.assert(
    fc.property(name, name, (one, other) => {
      expect(encodeToken(one)).toMatch(/^[\w=-]+$/);
      expect(encodeToken(one) === encodeToken(other)).toBe(one === other);
    }),
  );
});

test("a subject consists of the prefix, the kind and the name", () => {
  expect(subjectOf("netconduit.fleet", { kind: "topic", name: "room:7" })).toBe("netconduit.fleet.topic.room=3A7");
  expect(subjectOf("netconduit.fleet", { kind: "all", name: "" })).toBe("netconduit.fleet.all.=");
});

test("any name of 256 characters fits in NATS's control line, and one of 6,000 doesn't", () => {
  const prefix = "p".repeat(100);
  expect(fitsControlLine(subjectOf(prefix, { kind: "user", name: "€".repeat(256) }))).toBe(true);
  expect(fitsControlLine(subjectOf(prefix, { kind: "user", name: "x".repeat(6000) }))).toBe(false);
});

test("a long topic's stream has a unique name that is short enough for a folder", () => {
  const long = "ü".repeat(250);
  const tokens = [long, `${long}a`, `${long}b`].map(streamToken);
  expect(new Set(tokens).size).toBe(3);
  for (const token of tokens) expect(token).toMatch(/^[\w=-]{1,200}$/);
});
