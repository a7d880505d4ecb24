import { encode } from "@msgpack/msgpack";
import { expect, test } from "vitest";
import { StreamFrame } from "./stream-frames.ts";
import { StreamSender } from "./stream-sender.ts";

const MIB = 1024 * 1024;

/** Creates a sender with this credit, with its connection's counts. The byte stream accepts a limited number of frames. */
function senderWith(
  credit: number,
  mayOverdraw: (bytes: number) => boolean,
  frames: number = Number.POSITIVE_INFINITY,
) {
  const counted = { sent: 0, waiting: 0, held: 0, overdraft: 0 };
  const host = {
    encodeItem: (item: unknown) => encode(item),
    maxSentItemBytes: MIB,
    wallClock: () => 0,
    pushFrame: () => {
      counted.sent += 1;
    },
    sendNow: (ready: StreamSender) => {
      while (ready.isSendable && counted.sent < frames) ready.sendFrame();
    },
    sendLater: () => undefined,
    mayOverdraw,
    mustAsk: () => false,
    countSentOverdraft: (change: number) => {
      counted.overdraft += change;
    },
    waitForOverdraft: () => {
      counted.waiting += 1;
    },
    countHeld: (change: number) => {
      counted.held += change;
    },
    countTurn: () => undefined,
    beginTurn: () => null,
    passTurn: () => null,
  };
  return { counted, sender: new StreamSender(host, "numbers", StreamFrame.INPUT, 0, 1, credit) };
}

test("a large item behind small ones waits for the overdraft of other streams", () => {
  const { sender, counted } = senderWith(1000, (bytes) => bytes <= 0);
  expect(sender.write(1)).toBe(null);
  void sender.write(new Uint8Array(5000));
  expect(counted).toMatchObject({ sent: 1, waiting: 1 });
});

test("a stream that is given up within an item leaves others its overdraft and its memory", async () => {
  const { sender, counted } = senderWith(1000, () => true, 1);
  const written = sender.write(new Uint8Array(200_000));
  expect(counted).toMatchObject({ sent: 1, held: 200_000 });
  expect(counted.overdraft).toBeGreaterThan(100_000);
  const reason = new Error("given up");
  sender.abort(reason);
  await expect(written).rejects.toBe(reason);
  expect(counted).toMatchObject({ held: 0, overdraft: 0 });
});

test("an item with a getter that ends its stream takes no memory", () => {
  const { sender, counted } = senderWith(1000, () => true);
  const reason = new Error("given up");
  const item = {
    get n() {
      sender.abort(reason);
      return 1;
    },
  };
  expect(() => sender.write(item)).toThrow(reason);
  expect(counted).toMatchObject({ sent: 0, held: 0 });
});
