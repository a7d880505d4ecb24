import { encode } from "@msgpack/msgpack";
import { expect, test } from "vitest";
import { StreamFrame } from "./stream-frames.ts";
import { StreamSender } from "./stream-sender.ts";

const MIB = 1024 * 1024;

test("a large item behind small ones waits for the overdraft of other streams", () => {
  let waiting = 0;
  let sent = 0;
  const host = {
    encodeItem: (item: unknown) => encode(item),
    maxSentItemBytes: MIB,
    wallClock: () => 0,
    pushFrame: () => {
      sent += 1;
    },
    sendNow: (sender: StreamSender) => {
      while (sender.isSendable) sender.sendFrame();
    },
    sendLater: () => undefined,
    mayOverdraw: (bytes: number) => bytes <= 0,
    mustAsk: () => false,
    countSentOverdraft: () => undefined,
    waitForOverdraft: () => {
      waiting += 1;
    },
    countHeld: () => undefined,
    countTurn: () => undefined,
    beginTurn: () => null,
    passTurn: () => null,
  };
  const sender = new StreamSender(host, "numbers", StreamFrame.INPUT, 0, 1, 1000);
  expect(sender.write(1)).toBe(null);
  void sender.write(new Uint8Array(5000));
  expect([sent, waiting]).toEqual([1, 1]);
});
