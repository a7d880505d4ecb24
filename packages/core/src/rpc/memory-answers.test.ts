import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_ONCE_KEYS } from "../limits.ts";
import { MemoryAnswers } from "./memory-answers.ts";
import type { OnceRequest } from "./once-window.ts";

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
