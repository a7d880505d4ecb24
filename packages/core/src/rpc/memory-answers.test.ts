import { expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ONCE_KEYS } from "../limits.ts";
import { MemoryAnswers } from "./memory-answers.ts";
import type { OnceRequest } from "./once-window.ts";

const JSON_CODEC = {
  encode: (value: unknown) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes)),
};
const MESSAGE: OnceRequest = { key: "k", isCall: false, name: "order", value: {}, delivery: 1, deliveries: 3 };

test("a message is delivered again if its handler failed and a later delivery is asked for, and only then", () => {
  const answers = new MemoryAnswers(JSON_CODEC, () => 0);
  const error = new RpcError(900, "busy");
  expect(answers.begin("ada", "failed", MESSAGE)).toBe(1);
  answers.end("ada", "failed", 1, { error });
  expect(answers.begin("ada", "failed", MESSAGE)).toMatchObject({ error: { code: 900 } });
  expect(answers.begin("ada", "failed", { ...MESSAGE, delivery: 2 })).toBe(2);
  expect(answers.begin("ada", "handled", MESSAGE)).toBe(1);
  answers.end("ada", "handled", 1, { result: null });
  expect(answers.begin("ada", "handled", { ...MESSAGE, delivery: 2 })).toEqual({ result: null });
});

test("a caller that changes its answer doesn't change that of those who ask again", () => {
  // Its values reference the bytes from which they are decoded, like binary data.
  const codec = { encode: () => Uint8Array.of(7), decode: (bytes: Uint8Array) => ({ delivery: 1, result: bytes }) };
  const answers = new MemoryAnswers(codec, () => 0);
  answers.begin("ada", "id", MESSAGE);
  answers.end("ada", "id", 1, { result: Uint8Array.of(7) });
  const { result } = answers.begin("ada", "id", MESSAGE) as { result: Uint8Array };
  result[0] = 8;
  expect(answers.begin("ada", "id", MESSAGE)).toEqual({ result: Uint8Array.of(7) });
});

test("a key for which there is no room is refused, and says that nothing was started", () => {
  const codec = { encode: () => new Uint8Array(1), decode: () => null };
  const answers = new MemoryAnswers(codec, () => 0);
  const request: OnceRequest = { key: "k", isCall: true, name: "pay", value: {}, delivery: 1, deliveries: 1 };
  const run = (id: string): void => {
    expect(answers.begin("ada", id, request)).toBe(1);
    answers.end("ada", id, 1, { result: null });
  };
  for (let n = 0; n < MAX_ONCE_KEYS / 2; n += 1) run(String(n));
  expect(() => answers.begin("ada", "one more", request)).toThrow(
    expect.objectContaining({
      code: ErrorCode.RATE_LIMITED,
      message: expect.stringMatching(/^There is no room for another key of ack or once: 100000 are remembered, /),
      details: { retry_after: 120, started: false },
    }),
  );
  expect(answers.begin("bob", "one more", request)).toBe(1);
});
