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

test("what was sent is on its way until NATS answers behind it", async () => {
  const scene = new Scene();
  scene.window.sent(600);
  scene.timers[0]!();
  scene.window.sent(100);
  scene.questions[0]!.answer();
  await Promise.resolve();
  expect(scene.window.bytes).toBe(100);
});

test("a full window has no room, and has it again after an answer", async () => {
  const scene = new Scene();
  scene.window.sent(600);
  expect(scene.window.hasRoomFor(401)).toBe(false);
  expect(scene.window.hasRoomFor(400)).toBe(true);
  scene.timers[0]!();
  scene.questions[0]!.answer();
  await Promise.resolve();
  expect(scene.window.hasRoomFor(401)).toBe(true);
});

test("a message larger than the window passes when nothing else is on its way", () => {
  expect(new Scene().window.hasRoomFor(5000)).toBe(true);
});

test("the end of the connection tells how many messages NATS hasn't confirmed", async () => {
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

test("an answer for an earlier connection changes nothing", async () => {
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
