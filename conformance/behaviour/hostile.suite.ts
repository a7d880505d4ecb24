import { type CloseReason, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { rawScene } from "./raw-scene.ts";
import { PASSWORD, PATIENT, stagedOn } from "./stage.ts";

const bytes = (...parts: readonly (number | string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts.map((part) =>
      typeof part === "number" ? Uint8Array.of(part) : typeof part === "string" ? Buffer.from(part) : part,
    ),
  );

/** `{method: "echo", params: …}` with these bytes as the value of `params`. */
const request = (params: Uint8Array): Uint8Array => bytes(0x82, 0xa6, "method", 0xa4, "echo", 0xa6, "params", params);

/** Malformed payloads of RPC_REQUEST in valid frames, and the code of the answer. */
const MALFORMED_CALLS: readonly (readonly [string, Uint8Array, number])[] = [
  ["without a payload", bytes(), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ["that is an array", bytes(0x91, 0x01), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ["that is nil", bytes(0xc0), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ["without a method", bytes(0x81, 0xa6, "params", 0x80), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ["whose method is a number", bytes(0x81, 0xa6, "method", 0x07), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ["whose params are an array", request(bytes(0x91, 0x01)), ErrorCode.INVALID_PARAMS],
  ["whose params are text", request(bytes(0xa1, "x")), ErrorCode.INVALID_PARAMS],
  ["that ends inside a value", request(bytes(0x81, 0xa1, "a", 0xa5, "xy")), ErrorCode.TRUNCATED_PAYLOAD],
  ["with bytes behind its value", bytes(request(bytes(0x80)), 0x01), ErrorCode.TRAILING_BYTES],
  [
    "that claims four billion elements",
    request(bytes(0x81, 0xa1, "a", 0xdd, 0xff, 0xff, 0xff, 0xff)),
    ErrorCode.COUNT_EXCEEDS_PAYLOAD,
  ],
  [
    "that claims a string of four gigabytes",
    request(bytes(0x81, 0xa1, "a", 0xdb, 0xff, 0xff, 0xff, 0xff)),
    ErrorCode.TRUNCATED_PAYLOAD,
  ],
  [
    "that nests a thousand deep",
    request(bytes(0x81, 0xa1, "a", new Uint8Array(1000).fill(0x91), 0xc0)),
    ErrorCode.TOO_DEEP,
  ],
  ["with the key __proto__", request(bytes(0x81, 0xa9, "__proto__", 0x80)), ErrorCode.FORBIDDEN_KEY],
  ["with the key constructor", request(bytes(0x81, 0xab, "constructor", 0x80)), ErrorCode.FORBIDDEN_KEY],
  ["with a number as key", request(bytes(0x81, 0x01, 0x02)), ErrorCode.FORBIDDEN_KEY],
  ["with text that is not UTF-8", request(bytes(0x81, 0xa1, "a", 0xa2, 0xc3, 0x28)), ErrorCode.INVALID_UTF8],
  ["with the byte that means nothing", request(bytes(0x81, 0xa1, "a", 0xc1)), ErrorCode.MALFORMED_PAYLOAD],
];

/** Frames with an invalid header, and the code with which each ends the connection. */
const BROKEN_FRAMES: readonly (readonly [string, Uint8Array, number])[] = [
  ["another magic number", frame(Type.HEARTBEAT_PING, undefined, { magic: 0x48545450 }), ErrorCode.BAD_MAGIC],
  ["another version", frame(Type.HEARTBEAT_PING, undefined, { version: 0x0200 }), ErrorCode.UNSUPPORTED_VERSION],
  ["an unknown type", frame(0x00ff), ErrorCode.UNKNOWN_FRAME_TYPE],
  ["a payload that says it is encrypted", frame(Type.MESSAGE, {}, { flags: 0x0002 }), ErrorCode.UNSUPPORTED_FLAG],
  ["a payload that says it is a fragment", frame(Type.MESSAGE, {}, { flags: 0x0010 }), ErrorCode.UNSUPPORTED_FLAG],
  [
    "a length over maxMessageBytes",
    frame(Type.MESSAGE, undefined, { length: 10 * 1024 * 1024 + 1 }),
    ErrorCode.MESSAGE_TOO_LARGE,
  ],
  ["a length of four gigabytes", frame(Type.MESSAGE, undefined, { length: 0xffff_ffff }), ErrorCode.MESSAGE_TOO_LARGE],
];

/** Peers that violate the protocol, by mistake or on purpose. */
export function describeHostile(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`hostile peers on ${subject.name}`, PATIENT, () => {
    describe("a malformed payload costs the frame, not the connection", () => {
      for (const [what, payload, code] of MALFORMED_CALLS) {
        test(
          `a call ${what} is answered by an error and the connection lives`,
          staged(async (stage) => {
            const { peer, connection, errors, lives } = await rawScene(stage);
            peer.write(rawFrame(Type.RPC_REQUEST, payload, { id: 7n }));
            expect(await peer.next()).toMatchObject({
              type: Type.RPC_ERROR,
              id: 7n,
              payload: { success: false, code },
            });
            await lives();
            expect(connection.stats.errors).toBe(1);
            expect(errors.all).toMatchObject([{ error: { code }, context: { stage: "protocol", client: connection } }]);
          }),
        );
      }

      test(
        "a malformed message is reported to onError and the connection lives",
        staged(async (stage) => {
          const { peer, connection, errors, lives } = await rawScene(stage);
          peer.write(frame(Type.MESSAGE, { data: 1 }), rawFrame(Type.MESSAGE, bytes(0xc1)));
          await lives();
          expect(errors.all.map(({ error, context }) => [error.code, context.stage])).toEqual([
            [ErrorCode.INVALID_PAYLOAD_SHAPE, "protocol"],
            [ErrorCode.MALFORMED_PAYLOAD, "protocol"],
          ]);
          expect(connection.stats.errors).toBe(2);
        }),
      );

      test(
        "a malformed call that wants no answer gets none",
        staged(async (stage) => {
          const { peer, lives } = await rawScene(stage);
          const before = peer.frames.all.length;
          peer.write(rawFrame(Type.RPC_REQUEST, bytes(0xc1)));
          await lives();
          expect(peer.frames.all.length - before).toBe(1);
        }),
      );

      for (const [what, payload] of [
        ["that is malformed", bytes(0xc1)],
        ["without a payload", bytes()],
      ] as const) {
        test(
          `a reply ${what} rejects the call it answers, and no other`,
          staged(async (stage) => {
            const { peer, connection, lives } = await rawScene(stage);
            const first = failureOf(connection.call("a"));
            const second = connection.call("b");
            const [asked, askedToo] = [await peer.next(), await peer.next()];
            peer.write(rawFrame(Type.RPC_RESPONSE, payload, { id: asked.id }));
            expect(await first).toMatchObject({ code: expect.any(Number) });
            peer.write(frame(Type.RPC_RESPONSE, { success: true, result: "b" }, { id: askedToo.id }));
            expect(await second).toBe("b");
            await lives();
          }),
        );
      }

      test(
        "a CLOSE with a malformed payload is ignored, and the connection lives",
        staged(async (stage) => {
          const { peer, lives } = await rawScene(stage);
          peer.write(rawFrame(Type.CLOSE, bytes(0xc1)));
          await lives();
        }),
      );
    });

    describe("broken framing ends the connection with its code", () => {
      for (const [what, broken, code] of BROKEN_FRAMES) {
        test(
          `${what}: the peer is told in CLOSE, the hook hears the code, and the next client is served`,
          staged(async (stage) => {
            const { server, peer, errors } = await rawScene(stage);
            const left = new EventLog<CloseReason>();
            server.onClientDisconnect((_connection, reason) => left.add(reason));
            peer.write(broken);
            expect(await peer.next()).toMatchObject({ type: Type.CLOSE, payload: { code } });
            await peer.over;
            expect(await left.next()).toMatchObject({ code, byPeer: false });
            expect(errors.all.map(({ error }) => error.code)).toEqual([code]);
            expect(await (await stage.join(server)).call("echo", { a: 1 })).toEqual({ a: 1 });
          }),
        );
      }

      test(
        "a handshake frame after the login is UNEXPECTED_FRAME",
        staged(async (stage) => {
          const { peer } = await rawScene(stage);
          peer.write(frame(Type.AUTH_CHALLENGE, { data: "x" }));
          expect(await peer.next()).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.UNEXPECTED_FRAME } });
          await peer.over;
        }),
      );

      test(
        "a call that came before the broken frame is still answered",
        staged(async (stage) => {
          const { peer } = await rawScene(stage);
          peer.write(call(5n, "echo", { a: 1 }), frame(0x00ff));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { a: 1 } } });
          expect((await peer.next()).type).toBe(Type.CLOSE);
        }),
      );
    });

    describe("tolerated", () => {
      test(
        "frames may come byte by byte",
        staged(async (stage) => {
          const { peer } = await rawScene(stage);
          for (const byte of call(5n, "echo", { text: "slow" })) peer.write(Uint8Array.of(byte));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { text: "slow" } } });
        }),
      );

      test(
        "unknown hints among the flags, a reserved field that is not zero, and unknown keys are ignored",
        staged(async (stage) => {
          const { peer } = await rawScene(stage);
          const payload = { method: "echo", params: { a: 1 }, trace: "abc", priority: 3 };
          peer.write(frame(Type.RPC_REQUEST, payload, { id: 5n, flags: 0xf04c, reserved: 0xbeef }));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { a: 1 } } });
        }),
      );

      test(
        "unexpected control frames are ignored",
        staged(async (stage) => {
          const { peer, connection, lives } = await rawScene(stage);
          const forged = { id: 0x0001_0000_0000n };
          peer.write(
            frame(Type.HEARTBEAT_PONG),
            frame(Type.RESUME),
            frame(Type.CLOSE_ACK),
            frame(0x000c, undefined, forged),
            frame(0x000d, { reason: "no" }, forged),
            frame(Type.CANCEL, undefined, { id: 99n }),
            frame(Type.RPC_RESPONSE, { success: true, result: 1 }, forged),
            frame(Type.RPC_ERROR, { success: false, error: "no" }, { id: 2n ** 64n - 1n }),
            frame(Type.RPC_LIST, { methods: [] }),
          );
          await lives();
          expect(connection.stats.errors).toBe(0);
        }),
      );

      test(
        "a second reply to a call is ignored, also once another call uses its slot",
        staged(async (stage) => {
          const { peer, connection } = await rawScene(stage);
          const first = connection.call("a");
          const asked = await peer.next();
          const reply = frame(Type.RPC_RESPONSE, { success: true, result: "a" }, { id: asked.id });
          peer.write(reply, reply);
          expect(await first).toBe("a");
          const second = connection.call("b");
          const askedAgain = await peer.next();
          peer.write(reply, frame(Type.RPC_RESPONSE, { success: true, result: "b" }, { id: askedAgain.id }));
          expect(await second).toBe("b");
        }),
      );

      test(
        "a netconduit error without a code arrives as UNKNOWN",
        staged(async (stage) => {
          const { peer, connection } = await rawScene(stage);
          const failure = failureOf(connection.call("a"));
          const asked = await peer.next();
          peer.write(frame(Type.RPC_ERROR, { success: false, error: "it broke" }, { id: asked.id }));
          expect(await failure).toMatchObject({ code: ErrorCode.UNKNOWN, message: "it broke" });
        }),
      );
    });

    test(
      "400 connections of garbage throw nothing out of the event loop, and the server serves the next client",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 2000, enableCompression: true });
        server.rpc("echo", (params) => params);
        server.on("chat", (_client, data) => data);
        // Park-Miller generator, so that the garbage is the same in every run.
        let seed = 20_260_101;
        const random = (below: number): number => {
          seed = (seed * 48_271) % 0x7fff_ffff;
          return seed % below;
        };
        const seeds = [
          call(1n, "echo", { a: [1, "two", { three: 3 }] }),
          message("chat", { text: "hello", n: 2 ** 40 }),
          frame(Type.CLOSE, { reason: "bye" }),
          frame(Type.CANCEL, undefined, { id: 1n }),
          frame(Type.PAUSE),
          frame(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: 1n }),
          rawFrame(Type.MESSAGE, subject.runtime.deflate(Buffer.from("x".repeat(2000))), { flags: COMPRESSED }),
        ];
        for (let round = 0; round < 400; round++) {
          const peer = await stage.raw(server);
          if (round % 4 !== 0) await peer.login({ password: PASSWORD });
          const garbage = Buffer.concat(Array.from({ length: 1 + random(4) }, () => seeds[random(seeds.length)]!));
          for (let flips = 1 + random(6); flips > 0; flips--) garbage[random(garbage.length)] = random(256);
          peer.write(garbage.subarray(0, 1 + random(garbage.length)));
          if (round % 2 === 0) peer.end();
          else await peer.dispose();
        }
        const client = await stage.join(server);
        expect(await client.call("echo", { still: "here" })).toEqual({ still: "here" });
        await client.disconnect();
        await until(() => server.connectionCount === 0);
      }),
    );
  });
}
