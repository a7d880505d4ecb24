import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { call, chunksOf, frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const MIB = 1024 * 1024;
const WITH_CHUNKS = {
  close: true,
  credit: { frames: 1000, bytes: 64 * MIB },
  chunk: { messages: 8, bytes: 64 * MIB },
};

/** Returns bytes that reveal missing, duplicate or misplaced parts. */
function patterned(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31 + (index >>> 16)) % 256);
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Starts a server with methods for large data, and a client. */
async function pair(stage: Stage) {
  const options = { maxMessageBytes: 40 * MIB };
  const server = await stage.listen(options);
  server.rpc("echo", (params) => params);
  server.rpc("ping", () => "pong");
  const client = await stage.join(server, options);
  client.rpc("echo", (params) => params);
  client.rpc("ping", () => "pong");
  return { server, client, connection: connectionOf(server, client) };
}

/** Messages, calls and replies of more than 64 KiB, concurrent with smaller ones. */
export function describeChunks(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`large messages in chunks on ${subject.name}`, PATIENT, () => {
    test(
      "large calls and replies of both sides at once arrive unharmed",
      staged(async (stage) => {
        const { client, connection } = await pair(stage);
        const sizes = [65_500, 65_537, 131_072, 1_000_003, 5 * MIB];
        const calls = sizes.flatMap((size) =>
          [client, connection].map(async (end) => {
            const bytes = patterned(size);
            const answer = (await end.call("echo", { bytes })) as { bytes: Uint8Array };
            return isSame(answer.bytes, bytes);
          }),
        );
        expect(await Promise.all(calls)).toEqual(calls.map(() => true));
      }),
    );

    test(
      "small calls and heartbeats of either side pass a large message in either direction",
      staged(async (stage) => {
        const { client, connection } = await pair(stage);
        for (const [sender, receiver] of [
          [client, connection],
          [connection, client],
        ] as const) {
          let isDone = false;
          const large = sender.call("echo", { bytes: new Uint8Array(32 * MIB) }).then(() => {
            isDone = true;
          });
          expect(await Promise.all([sender.call("ping"), receiver.call("ping")])).toEqual(["pong", "pong"]);
          expect(isDone).toBe(false);
          await large;
        }
      }),
    );

    test(
      "messages keep their order, and the data may be changed once send has returned",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const heard: (number | string)[] = [];
        const done = gate();
        server.on("note", (_client, data) => {
          const bytes = data as Uint8Array;
          heard.push(bytes.length, bytes.every((byte) => byte === 1) ? "as sent" : "changed");
          if (bytes.length === 1) done.open();
        });
        for (const size of [3 * MIB, 10, 100_000, 200_000, 1]) {
          const bytes = new Uint8Array(size).fill(1);
          client.send("note", bytes);
          bytes.fill(2);
        }
        await done.promise;
        expect(heard).toEqual([3 * MIB, 10, 100_000, 200_000, 1].flatMap((size) => [size, "as sent"]));
      }),
    );

    test(
      "a large call that is cancelled on its way never starts, and leaves the connection as it was",
      staged(async (stage) => {
        const server = await stage.listen({ maxMessageBytes: 40 * MIB });
        let started = 0;
        server.rpc("count", () => (started += 1));
        const client = await stage.join(server, { maxMessageBytes: 40 * MIB });
        for (let round = 0; round < 3; round += 1) {
          const controller = new AbortController();
          const bytes = new Uint8Array(32 * MIB);
          const failure = failureOf(client.call("count", { bytes }, { signal: controller.signal }));
          await until(() => connectionOf(server, client).stats.bytesReceived > round * MIB);
          controller.abort();
          expect((await failure).code).toBe(ErrorCode.CANCELLED);
          expect(client.bufferedBytes).toBeLessThan(MIB);
        }
        expect(await client.call("count", {})).toBe(1);
        expect(started).toBe(1);
      }),
    );

    test(
      "disconnect() sends a large message completely first",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const heard = gate<number>();
        server.on("note", (_client, data) => heard.open((data as Uint8Array).length));
        client.send("note", new Uint8Array(16 * MIB));
        await client.disconnect();
        expect(await heard.promise).toBe(16 * MIB);
      }),
    );

    test(
      "a peer that never finishes its chunks keeps nobody, and its memory goes with it",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const peer = await stage.rawLoggedIn(server, { extensions: WITH_CHUNKS });
        const large = call(1n, "echo", { text: "x".repeat(4 * MIB) });
        for (let id = 1; id <= 8; id += 1) peer.write(chunksOf(large, id)[0] as Uint8Array);
        peer.write(frame(Type.HEARTBEAT_PING, undefined, { id: 9n }));
        expect((await peer.next(Type.HEARTBEAT_PONG)).id).toBe(9n);
        expect(await client.call("ping")).toBe("pong");
        peer.write(chunksOf(large, 9)[0] as Uint8Array);
        expect((await peer.next(Type.CLOSE)).payload).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
        await until(() => server.connections.length === 1);
      }),
    );
  });
}
