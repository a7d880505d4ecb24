import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeToken, fitsControlLine, streamToken, subjectOf } from "./subjects.ts";

test("letters, digits, _ and - stand for themselves in a token", () => {
  expect(encodeToken("Room_7-b")).toBe("Room_7-b");
});

test("any other character of a name is its UTF-8 in hexadecimal digits behind =", () => {
  expect(encodeToken("room:7.*>")).toBe("room=3A7=2E=2A=3E");
  expect(encodeToken("über 🚀!~'()")).toBe("=C3=BCber=20=F0=9F=9A=80=21=7E=27=28=29");
});

test("any name is one token, and different names are different ones", () => {
  const name = fc.string({ unit: "grapheme", maxLength: 20 });
  fc.assert(
    fc.property(name, name, (one, other) => {
      expect(encodeToken(one)).toMatch(/^[\w=-]+$/);
      expect(encodeToken(one) === encodeToken(other)).toBe(one === other);
    }),
  );
});

test("a subject names the prefix, the kind and the name", () => {
  expect(subjectOf("netconduit.fleet", { kind: "topic", name: "room:7" })).toBe("netconduit.fleet.topic.room=3A7");
  expect(subjectOf("netconduit.fleet", { kind: "all", name: "" })).toBe("netconduit.fleet.all.=");
});

test("a name of 256 characters fits NATS's control line, whatever they are, and one of 6,000 doesn't", () => {
  const prefix = "p".repeat(100);
  expect(fitsControlLine(subjectOf(prefix, { kind: "user", name: "€".repeat(256) }))).toBe(true);
  expect(fitsControlLine(subjectOf(prefix, { kind: "user", name: "x".repeat(6000) }))).toBe(false);
});

test("a long topic's stream has a name that a folder can have, and another topic another one", () => {
  const long = "ü".repeat(250);
  const tokens = [long, `${long}a`, `${long}b`].map(streamToken);
  expect(new Set(tokens).size).toBe(3);
  for (const token of tokens) expect(token).toMatch(/^[\w=-]{1,200}$/);
});
