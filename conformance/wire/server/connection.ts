import assert from "node:assert/strict";
import { call, frame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { answersPingsInOrder, type Check, endsSilently, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

export const connectionChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Heartbeats",
    sentence:
      "The other side answers immediately with `HEARTBEAT_PONG` and the same correlation id, ahead of everything queued, and in the order of the pings.",
    async run(server) {
      await answersPingsInOrder(await server.login());
    },
  },
  {
    section: "Closing",
    sentence:
      "The receiver answers with `CLOSE_ACK` (same correlation id), flushes its own queue except for what waits for credit or leaves in chunks, and ends its direction too.",
    async run(server) {
      const peer = await server.login();
      const ping = frame(Type.HEARTBEAT_PING, undefined, { id: 5n });
      peer.write(ping, frame(Type.CLOSE, { reason: "done", code: 5010 }, { id: 77n }));
      const first = await frameOf(peer);
      const second = await frameOf(peer);
      const names = [first, second].map(typeName).sort();
      assert.deepEqual(names, ["CLOSE_ACK", "HEARTBEAT_PONG"]);
      assert.equal([first, second].find(({ type }) => type === Type.CLOSE_ACK)?.id, 77n);
      assert.equal(await peer.over, "end");
    },
  },
  {
    section: "Closing",
    sentence: "A `CLOSE` payload of more than 16 KiB is rejected with `MESSAGE_TOO_LARGE`.",
    async run(server) {
      const peer = await server.login();
      peer.send(Type.CLOSE, undefined, { length: 16_385 });
      await isClosedWith(peer, 7003);
    },
  },
  {
    section: "Closing",
    sentence:
      "`started` lists the correlation ids of the receiver's requests that have been started and not been answered: they may have run.",
    async run(server) {
      const peer = await server.loginFor("wait");
      peer.write(call(5n, "wait"));
      // The handler is running when a later frame has been answered. A frame of an unknown type makes the server
      // close.
      await isAlive(peer);
      peer.write(frame(0x7000));
      const { payload } = await frameOf(peer, Type.CLOSE);
      if (payload?.["started"] !== undefined) assert.deepEqual(payload["started"], [5]);
    },
  },
  {
    section: "Closing",
    sentence: "A side that receives `CLOSE` nevertheless obeys it and doesn't answer.",
    async run(server) {
      const peer = await server.login([]);
      await isAlive(peer);
      const before = peer.frames.all.length;
      peer.send(Type.CLOSE, { reason: "done" });
      await peer.over;
      assert.deepEqual(peer.frames.all.slice(before).map(typeName), []);
    },
  },
  {
    section: "Closing",
    sentence: "There are no half-closed connections: each side answers the peer's FIN with its own.",
    async run(server) {
      const peer = await server.login();
      peer.end();
      assert.equal(await peer.over, "end");
      const stranger = await server.dial();
      stranger.end();
      await endsSilently(stranger);
    },
  },
];
