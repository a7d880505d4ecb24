import { expect, test } from "vitest";
import { SendWindow } from "./send-window.ts";

/** A connection whose answers are given by the test, and a clock whose timers the test fires. */
class Scene {
  readonly questions: { readonly answer: () => void; readonly fail: () => void }[] = [];
  readonly timers: (() => void)[] = [];
  readonly window: SendWindow = new SendWindow(
    {
      now: () => 0,
      setTimer: (task) => this.timers.push(task),
      clearTimer: () => undefined,
    },
    1000,
  );

  constructor() {
    this.window.opened({
      flush: () =>
        new Promise<void>((answer, reject) => {
          this.questions.push({ answer, fail: () => reject(new Error("connection lost")) });
        }),
    });
  }
}

test("sent messages are in flight until NATS answers a later request", async () => {
  const scene = new Scene();
  scene.window.sent(600);
  scene.timers[0]!();
  scene.window.sent(100);
  scene.questions[0]!.answer();
  await Promise.resolve();
  expect(scene.window.bytes).toBe(100);
});

test("a full window has space again after an answer", async () => {
  const scene = new Scene();
  scene.window.sent(600);
  expect(scene.window.hasRoomFor(401)).toBe(false);
  expect(scene.window.hasRoomFor(400)).toBe(true);
  scene.timers[0]!();
  scene.questions[0]!.answer();
  await Promise.resolve();
  expect(scene.window.hasRoomFor(401)).toBe(true);
});

test("a message larger than the window is sent when nothing else is in flight", () => {
  expect(new Scene().window.hasRoomFor(5000)).toBe(true);
});

test("the connection's end returns the number of messages that NATS hasn't confirmed", async () => {
  const scene = new Scene();
  scene.window.sent(10);
  scene.timers[0]!();
  scene.questions[0]!.answer();
  await Promise.resolve();
  for (let index = 0; index < 3; index++) scene.window.sent(10);
  expect(scene.window.closed()).toBe(3);
  expect(scene.window.closed()).toBe(0);
  expect(scene.window.bytes).toBe(0);
});

test("an answer for an earlier connection has no effect", async () => {
  const scene = new Scene();
  scene.window.sent(10);
  scene.timers[0]!();
  scene.window.closed();
  scene.window.opened({ flush: () => Promise.resolve() });
  scene.window.sent(20);
  scene.questions[0]!.answer();
  await Promise.resolve();
  expect(scene.window.bytes).toBe(20);
});
