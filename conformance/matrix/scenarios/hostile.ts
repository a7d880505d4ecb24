import assert from "node:assert/strict";
import { type CloseReason, ErrorCode, type Rejection } from "@netconduit/core";
import { DEPARTURES } from "../../behaviour/departures.ts";
import { Heard } from "../../behaviour/heard.ts";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../../behaviour/raw-peer.ts";
import { ScramLogin } from "../../behaviour/scram-login.ts";
import type { ClientHalf } from "../client-half.ts";
import { PASSWORD } from "../half.ts";
import type { Scenario } from "../scenario.ts";

/** Frames that break a connection which has logged in, and the code that says so. */
const BROKEN: readonly (readonly [what: string, bytes: Uint8Array, code: number])[] = [
  ["bytes that are no frame", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), ErrorCode.BAD_MAGIC],
  ["another version", frame(Type.MESSAGE, { type: "x" }, { version: 0x0200 }), ErrorCode.UNSUPPORTED_VERSION],
  ["an unknown frame type", frame(0x00ff), ErrorCode.UNKNOWN_FRAME_TYPE],
  [
    "a frame that claims 4 GiB",
    rawFrame(Type.MESSAGE, new Uint8Array(8), { length: 0xffff_ffff }),
    ErrorCode.MESSAGE_TOO_LARGE,
  ],
  ["a login out of turn", frame(Type.AUTH_CHALLENGE, { data: "x" }), ErrorCode.UNEXPECTED_FRAME],
];

/** Payloads that cost a call and no more, and the code of its answer. */
const MALFORMED: readonly (readonly [what: string, bytes: Uint8Array, code: number])[] = [
  ["no MessagePack", Uint8Array.of(0xc1), ErrorCode.MALFORMED_PAYLOAD],
  ["a value that is cut off", Uint8Array.of(0x82, 0xa1), ErrorCode.TRUNCATED_PAYLOAD],
  ["an array of 4 billion elements", Uint8Array.of(0xdd, 255, 255, 255, 255), ErrorCode.COUNT_EXCEEDS_PAYLOAD],
  ["an array nested 10,000 deep", new Uint8Array(10_000).fill(0x91), ErrorCode.TOO_DEEP],
  ["no map", Uint8Array.of(0x93, 1, 2, 3), ErrorCode.INVALID_PAYLOAD_SHAPE],
];

/** Sends, once logged in by hand, and expects an ordinary client to be served afterwards. */
async function serves(half: ClientHalf): Promise<void> {
  const client = await half.join();
  assert.deepEqual(await client.call("echo", { still: "here" }), { still: "here" });
}

/** What strangers and broken peers send, byte by byte built by hand, and that the server lives. */
export const hostile: readonly Scenario[] = [
  {
    title: "broken framing ends that connection with its code, told in CLOSE, and no other",
    async server(half) {
      const server = half.server();
      server.rpc("echo", (params) => params);
      const left = new Heard<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      await half.open(server);
      for (const [what, , code] of BROKEN) {
        const reason = await left.next();
        assert.deepEqual([reason.code, reason.byPeer], [code, false], what);
        half.tell("ended");
      }
    },
    async client(half) {
      for (const [what, bytes, code] of BROKEN) {
        const peer = await half.rawLoggedIn();
        peer.write(call(5n, "echo", { a: 1 }), bytes);
        assert.equal((await peer.next()).id, 5n, what);
        const close = await peer.next();
        assert.deepEqual([close.type, (close.payload as { code: number }).code], [Type.CLOSE, code], what);
        await peer.over;
        await half.recordReceive("ended");
      }
      await serves(half);
    },
  },
  {
    title: "a malformed payload costs its call alone, and the connection lives",
    async server(half) {
      const server = half.server();
      server.rpc("echo", (params) => params);
      const stages = new Heard<string>();
      server.onError((_error, { stage }) => stages.add(stage));
      await half.open(server);
      assert.deepEqual(new Set(await stages.count(MALFORMED.length + 1)), new Set(["protocol"]));
    },
    async client(half) {
      const peer = await half.rawLoggedIn();
      for (const [index, [what, bytes, code]] of MALFORMED.entries()) {
        peer.write(rawFrame(Type.RPC_REQUEST, bytes, { id: BigInt(index + 1) }));
        const answer = await peer.next();
        assert.deepEqual(
          [answer.type, answer.id, (answer.payload as { code: number }).code],
          [Type.RPC_ERROR, BigInt(index + 1), code],
          what,
        );
      }
      peer.write(rawFrame(Type.RPC_REQUEST, Buffer.from("no zlib"), { id: 99n, flags: COMPRESSED }));
      assert.equal(((await peer.next()).payload as { code: number }).code, ErrorCode.INFLATE_FAILED);
      peer.write(call(100n, "echo", { a: 1 }));
      const { id, payload } = await peer.next();
      assert.deepEqual([id, payload], [100n, { success: true, result: { a: 1 } }]);
    },
  },
  {
    title: "before login nothing but the handshake is taken, of no more than 16 KiB a frame",
    async server(half) {
      const server = half.server();
      server.rpc("echo", (params) => params);
      const handled = new Heard<unknown>();
      server.on("chat", handled.add);
      const rejections = new Heard<Rejection>();
      server.onClientRejected(rejections.add);
      await half.open(server);
      await half.recordReceive("done");
      await rejections.count(7);
      assert.deepEqual([handled.all, server.stats.loggedIn], [[], 1]);
    },
    async client(half) {
      for (const bytes of [
        message("chat", "hello"),
        call(1n, "listall"),
        frame(Type.PING),
        frame(Type.AUTH_SUCCESS, { session_token: "x" }),
        frame(Type.AUTH_REQUEST, { scram: "nonsense" }),
        rawFrame(Type.AUTH_REQUEST, new Uint8Array(0), { length: 16 * 1024 + 1 }),
        Buffer.from("SSH-2.0-OpenSSH_9.9\r\n".repeat(10)),
      ]) {
        const peer = await half.raw();
        peer.write(bytes);
        await peer.over;
        assert.deepEqual(
          peer.frames.all.filter(({ type }) => type !== Type.AUTH_FAILURE),
          [],
        );
      }
      await serves(half);
      half.tell("done");
    },
  },
  {
    title: "a flood behind the login's first frame is cut off before it is handled",
    async server(half) {
      const server = half.server();
      server.rpc("echo", (params) => params);
      const handled = new Heard<unknown>();
      server.on("chat", handled.add);
      const rejections = new Heard<Rejection>();
      server.onClientRejected(rejections.add);
      await half.open(server);
      await half.recordReceive("done");
      assert.deepEqual([rejections.all.length, handled.all.length], [1, 0]);
    },
    async client(half) {
      const peer = await half.raw();
      const filler = message("chat", new Uint8Array(8000));
      const request = frame(Type.AUTH_REQUEST, { scram: new ScramLogin(PASSWORD).clientFirst, client_info: {} });
      peer.write(request, ...Array.from({ length: 100 }, () => filler));
      await peer.over;
      await serves(half);
      half.tell("done");
    },
  },
  {
    title: "strangers that connect and say nothing are bounded: the oldest makes room for the next",
    async server(half) {
      const server = half.server({ maxPendingLogins: 5 });
      server.rpc("echo", (params) => params);
      await half.open(server);
    },
    async client(half) {
      const [oldest] = [await half.raw(), ...(await Promise.all(Array.from({ length: 4 }, () => half.raw())))];
      await half.raw();
      await oldest.over;
      await serves(half);
    },
  },
  {
    title: "whichever way a peer leaves, its place is free and the disconnect hook has run once",
    async server(half) {
      const server = half.server({ maxConnections: 1 });
      const left = new Heard<unknown>();
      server.onClientDisconnect(left.add);
      await half.open(server);
      for (let n = 1; n <= DEPARTURES.length; n++) {
        await left.count(n);
        assert.equal(server.connectionCount, 0);
        half.tell("left");
      }
      await half.recordReceive("done");
      assert.equal(left.all.length, DEPARTURES.length);
    },
    async client(half) {
      for (const [, leave] of DEPARTURES) {
        const peer = await half.rawLoggedIn();
        leave(peer);
        await half.recordReceive("left");
        await peer.dispose();
      }
      half.tell("done");
    },
  },
  {
    title: "a hundred connections of garbage, and the server serves on",
    async server(half) {
      const server = half.server({ maxConnections: 500 });
      server.rpc("echo", (params) => params);
      server.on("chat", (_connection, data) => data);
      await half.open(server);
      await half.recordReceive("served");
      await half.until(() => server.connectionCount === 0);
    },
    async client(half) {
      // Park-Miller: the same garbage in every run.
      let seed = 20_260_101;
      const random = (below: number): number => {
        seed = (seed * 48_271) % 0x7fff_ffff;
        return seed % below;
      };
      const { deflate } = half.subject.runtime;
      const seeds = [
        call(1n, "echo", { a: [1, "two", { three: 3 }] }),
        message("chat", { text: "hello", n: 2 ** 40 }),
        frame(Type.CLOSE, { reason: "bye" }),
        frame(Type.CANCEL, undefined, { id: 1n }),
        frame(Type.PAUSE),
        rawFrame(Type.MESSAGE, deflate(Buffer.from("x".repeat(2000))), { flags: COMPRESSED }),
      ] as const;
      for (let round = 0; round < 100; round++) {
        const peer = round % 4 === 0 ? await half.raw() : await half.rawLoggedIn();
        const parts = Array.from({ length: 1 + random(4) }, () => seeds[random(seeds.length)] as Buffer);
        const garbage = Buffer.concat(parts);
        for (let flips = 1 + random(6); flips > 0; flips--) garbage[random(garbage.length)] = random(256);
        peer.write(garbage.subarray(0, 1 + random(garbage.length)));
        if (round % 2 === 0) peer.end();
        else await peer.dispose();
      }
      const client = await half.join();
      assert.deepEqual(await client.call("echo", { still: "here" }), { still: "here" });
      await client.disconnect();
      half.tell("served");
    },
  },
];
