import { decode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { negotiate, offered, toPayload } from "../connection/extensions.ts";
import { AuthSuccess } from "./auth-success.ts";

const serverInfo = { name: "a server", version: "1.2.3", description: "for tests" };
const token = String.fromCharCode(...Array.from({ length: 32 }, (_, index) => (index * 37) & 0xff));
const hex = Array.from(token, (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
const texts = { scram: `v=${"s".repeat(44)}`, next: "n".repeat(24), extensions: offered() };

function filled(success: AuthSuccess, ...given: Parameters<AuthSuccess["fill"]>): unknown {
  const bytes = success.fill(...given);
  return bytes === null ? null : decode(bytes);
}

describe("AuthSuccess", () => {
  test("encodes what the server says, what was agreed on, and the texts of the login", () => {
    expect(filled(new AuthSuccess(serverInfo), token, texts)).toEqual({
      session_token: hex,
      server_info: serverInfo,
      ...texts,
    });
  });

  test("encodes the texts of each login", () => {
    const success = new AuthSuccess(serverInfo);
    success.fill(token, texts);
    const others = { scram: `v=${"z".repeat(44)}`, next: "m".repeat(24), extensions: texts.extensions };
    expect(filled(success, "\0".repeat(32), others)).toEqual({
      session_token: "0".repeat(64),
      server_info: serverInfo,
      ...others,
    });
  });

  test("encodes what this client agreed on, whatever the last one did", () => {
    const success = new AuthSuccess(serverInfo);
    success.fill(token, texts);
    const extensions = toPayload(negotiate({ reply: true, advance: true }));
    expect(filled(success, token, { ...texts, extensions })).toMatchObject({
      extensions: { reply: true, advance: true },
    });
  });

  test.each([
    ["a signature", { next: texts.next, extensions: texts.extensions }],
    ["a next challenge", { scram: texts.scram, extensions: texts.extensions }],
    ["extensions", { scram: texts.scram, next: texts.next }],
    ["a signature of the usual length", { ...texts, scram: "v=short" }],
    ["a challenge of the usual length", { ...texts, next: "short" }],
  ])("leaves a login without %s to whoever encodes all", (_what, payload) => {
    expect(new AuthSuccess(serverInfo).fill(token, payload)).toBe(null);
  });
});
