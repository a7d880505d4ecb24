import { type CloseReason, type ConduitError, type Connection, ErrorCode, type ErrorContext } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { failureOf, Heard, until } from "./heard.ts";
import { COMPRESSED, call, frame, message, type RawPeer, rawFrame, Type } from "./raw-peer.ts";
import { type Stage, stagedOn } from "./stage.ts";
import { SteppedClock } from "./stepped-clock.ts";
import type { OpenServer, Subject } from "./subject.ts";

const bytes = (...parts: readonly (number | string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts.map((part) =>
      typeof part === "number" ? Uint8Array.of(part) : typeof part === "string" ? Buffer.from(part) : part,
    ),
  );

/** `{method: "echo", params: <params>}` with the bytes of `params` as they are. */
const request = (params: Uint8Array): Uint8Array => bytes(0x82, 0xa6, "method", 0xa4, "echo", 0xa6, "params", params);

/** Payloads of RPC_REQUEST inside a whole frame, and the code each one is answered with. */
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

/** Frames whose header cannot be used, and the code each one ends the connection with. */
const BROKEN_FRAMES: readonly (readonly [string, Uint8Array, number])[] = [
  ["another magic number", frame(Type.PING, undefined, { magic: 0x48545450 }), ErrorCode.BAD_MAGIC],
  ["another version", frame(Type.PING, undefined, { version: 0x0200 }), ErrorCode.UNSUPPORTED_VERSION],
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

interface Scene {
  readonly server: OpenServer;
  readonly peer: RawPeer;
  readonly connection: Connection;
  readonly errors: Heard<{ error: ConduitError; context: ErrorContext<Connection> }>;
  /** Calls `echo` and awaits the answer: the connection lives. */
  lives(): Promise<void>;
}

async function scene(stage: Stage, options: Parameters<Stage["listen"]>[0] = {}, clock?: SteppedClock): Promise<Scene> {
  const server = await stage.listen(options, clock?.runtime);
  const errors = new Heard<{ error: ConduitError; context: ErrorContext<Connection> }>();
  server.onError((error, context) => errors.add({ error: error as ConduitError, context }));
  server.rpc("echo", (params) => params);
  const peer = await stage.rawLoggedIn(server);
  const connection = server.connections[0] as Connection;
  let id = 1_000_000n;
  const lives = async (): Promise<void> => {
    id += 1n;
    peer.write(call(id, "echo", { id: String(id) }));
    for (;;) {
      const answer = await peer.next();
      if (answer.type === Type.RPC_RESPONSE && answer.id === id) break;
    }
    expect(connection.isConnected).toBe(true);
  };
  return { server, peer, connection, errors, lives };
}

/** What a peer can do wrong, by mistake or on purpose, and what it may take of a server. */
export function describeHostile(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`hostile peers on ${subject.name}`, () => {
    describe("a malformed payload costs the frame, not the connection", () => {
      for (const [what, payload, code] of MALFORMED_CALLS) {
        test(
          `a call ${what} is answered by an error and the connection lives`,
          staged(async (stage) => {
            const { peer, connection, errors, lives } = await scene(stage);
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
          const { peer, connection, errors, lives } = await scene(stage);
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
          const { peer, lives } = await scene(stage);
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
            const { peer, connection, lives } = await scene(stage);
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
        "a CLOSE whose payload is malformed, or no map, harms nothing but itself",
        staged(async (stage) => {
          const { peer, lives } = await scene(stage);
          peer.write(rawFrame(Type.CLOSE, bytes(0xc1)));
          await lives();
        }),
      );
    });

    describe("broken framing ends the connection with its code", () => {
      for (const [what, broken, code] of BROKEN_FRAMES) {
        test(
          `${what}: the peer is told in CLOSE, the hook hears it, and the next client finds all as it was`,
          staged(async (stage) => {
            const { server, peer, errors } = await scene(stage);
            const left = new Heard<CloseReason>();
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
          const { peer } = await scene(stage);
          peer.write(frame(Type.AUTH_CHALLENGE, { data: "x" }));
          expect(await peer.next()).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.UNEXPECTED_FRAME } });
          await peer.over;
        }),
      );

      test(
        "what was asked before the broken frame is still answered",
        staged(async (stage) => {
          const { peer } = await scene(stage);
          peer.write(call(5n, "echo", { a: 1 }), frame(0x00ff));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { a: 1 } } });
          expect((await peer.next()).type).toBe(Type.CLOSE);
        }),
      );
    });

    describe("what is tolerated", () => {
      test(
        "frames may come byte by byte",
        staged(async (stage) => {
          const { peer } = await scene(stage);
          for (const byte of call(5n, "echo", { text: "slow" })) peer.write(Uint8Array.of(byte));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { text: "slow" } } });
        }),
      );

      test(
        "unknown flags, a reserved field that is not zero, and unknown keys are ignored",
        staged(async (stage) => {
          const { peer } = await scene(stage);
          const payload = { method: "echo", params: { a: 1 }, trace: "abc", priority: 3 };
          peer.write(frame(Type.RPC_REQUEST, payload, { id: 5n, flags: 0xff4c & ~COMPRESSED, reserved: 0xbeef }));
          expect(await peer.next()).toMatchObject({ id: 5n, payload: { result: { a: 1 } } });
        }),
      );

      test(
        "control frames that nobody waits for change nothing",
        staged(async (stage) => {
          const { peer, connection, lives } = await scene(stage);
          const forged = { id: 0x0001_0000_0000n };
          peer.write(
            frame(Type.PONG),
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
        "a second reply to one call is ignored, also when its slot serves another call by then",
        staged(async (stage) => {
          const { peer, connection } = await scene(stage);
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
          const { peer, connection } = await scene(stage);
          const failure = failureOf(connection.call("a"));
          const asked = await peer.next();
          peer.write(frame(Type.RPC_ERROR, { success: false, error: "it broke" }, { id: asked.id }));
          expect(await failure).toMatchObject({ code: ErrorCode.UNKNOWN, message: "it broke" });
        }),
      );
    });

    describe("limits on size", () => {
      test(
        "a frame of maxMessageBytes is taken, one byte more is refused on its header, before its payload comes",
        staged(async (stage) => {
          const { peer } = await scene(stage, { maxMessageBytes: 4096 });
          const overhead = frame(Type.RPC_REQUEST, { method: "echo", params: { a: new Uint8Array(3000) } }).length - 32;
          const largest = call(5n, "echo", { a: new Uint8Array(4096 - overhead + 3000) });
          expect(largest.length).toBe(32 + 4096);
          peer.write(largest);
          expect((await peer.next()).id).toBe(5n);
          peer.write(rawFrame(Type.RPC_REQUEST, new Uint8Array(0), { id: 6n, length: 4097 }));
          const closed = await peer.next();
          expect(closed).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.MESSAGE_TOO_LARGE } });
          const { reason } = closed.payload as { reason: string };
          expect(reason).toContain("4097");
          expect(reason).toContain("4096");
        }),
      );

      test(
        "a payload that inflates beyond maxMessageBytes is refused without being inflated in full, and the connection lives",
        staged(async (stage) => {
          const { peer, lives } = await scene(stage, { maxMessageBytes: 64 * 1024 });
          const bomb = subject.runtime.deflate(new Uint8Array(50 * 1024 * 1024));
          expect(bomb.length).toBeLessThan(64 * 1024);
          peer.write(rawFrame(Type.RPC_REQUEST, bomb, { id: 7n, flags: COMPRESSED }));
          expect(await peer.next()).toMatchObject({
            type: Type.RPC_ERROR,
            id: 7n,
            payload: { code: ErrorCode.INFLATED_TOO_LARGE },
          });
          await lives();
        }),
      );

      test(
        "a payload that is no zlib stream though it says so is refused, and the connection lives",
        staged(async (stage) => {
          const { peer, lives } = await scene(stage);
          peer.write(rawFrame(Type.RPC_REQUEST, Buffer.from("not zlib"), { id: 7n, flags: COMPRESSED }));
          expect(await peer.next()).toMatchObject({ id: 7n, payload: { code: ErrorCode.INFLATE_FAILED } });
          await lives();
        }),
      );

      test(
        "a length that is claimed and never sent takes no memory ahead",
        staged(async (stage) => {
          const server = await stage.listen({ maxMessageBytes: 100 * 1024 * 1024, maxConnections: 200 });
          const before = process.memoryUsage().arrayBuffers;
          const peers: RawPeer[] = [];
          for (let n = 0; n < 30; n++) {
            const peer = await stage.rawLoggedIn(server);
            peer.write(rawFrame(Type.MESSAGE, new Uint8Array(10), { length: 100 * 1024 * 1024 }));
            peers.push(peer);
          }
          await until(() => server.connections.every(({ stats }) => stats.bytesReceived > 300));
          expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
        }),
      );
    });

    describe("limits on rate", () => {
      test(
        "a call over the limit gets RATE_LIMITED with retry_after, and passes when that has gone by",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, errors } = await scene(stage, { rateLimit: { messagesPerSecond: 2 } }, clock);
          const client = await stage.join(server);
          await client.call("echo");
          await client.call("echo");
          const failure = await failureOf(client.call("echo"));
          expect(failure).toMatchObject({ code: 6000, message: "Rate limit exceeded", details: { retry_after: 0.5 } });
          expect(errors.all).toMatchObject([{ error: { code: 6000 }, context: { stage: "rate-limit" } }]);
          clock.advance(490);
          expect((await failureOf(client.call("echo"))).code).toBe(ErrorCode.RATE_LIMITED);
          clock.advance(20);
          expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
        }),
      );

      test(
        "a message over the limit is not handled, is counted, and is reported with its client",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, peer, connection, errors } = await scene(
            stage,
            { rateLimit: { messagesPerSecond: 3 } },
            clock,
          );
          const heard = new Heard<unknown>();
          server.on("chat", (_client, data) => heard.add(data));
          for (let n = 0; n < 5; n++) peer.write(message("chat", n));
          await until(() => connection.stats.messagesReceived === 5);
          expect(heard.all).toEqual([0, 1, 2]);
          expect(connection.stats.rateLimited).toBe(2);
          expect(errors.all).toHaveLength(2);
          expect(errors.all[0]).toMatchObject({
            error: { code: ErrorCode.RATE_LIMITED, message: "A message exceeded the rate limit" },
            context: { stage: "rate-limit", client: connection },
          });
        }),
      );

      test(
        "a request over the limit rejects with RATE_LIMITED",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server } = await scene(stage, { rateLimit: { messagesPerSecond: 1 } }, clock);
          server.on("chat", () => "heard");
          const client = await stage.join(server);
          expect(await client.request("chat")).toBe("heard");
          expect(await failureOf(client.request("chat"))).toMatchObject({
            code: ErrorCode.RATE_LIMITED,
            details: { retry_after: 1 },
          });
        }),
      );

      test(
        "the rate limit counts real bytes, however few keys they are behind",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, connection, peer } = await scene(stage, { rateLimit: { bytesPerSecond: 10_000 } }, clock);
          const heard = new Heard<number>();
          server.on("blob", (_client, data) => heard.add((data as { blob: Uint8Array }).blob.length));
          peer.write(message("blob", { blob: new Uint8Array(6000) }));
          peer.write(message("blob", { blob: new Uint8Array(6000) }));
          peer.write(message("blob", { blob: new Uint8Array(2000) }));
          await until(() => connection.stats.messagesReceived === 3);
          expect(heard.all).toEqual([6000, 2000]);
          expect(connection.stats.rateLimited).toBe(1);
          // Many small ones weigh as much: 200 frames of some 50 bytes are the second's worth again.
          clock.advance(1000);
          const small = message("blob", { blob: new Uint8Array(1) });
          for (let n = 0; n < 300; n++) peer.write(small);
          await until(() => connection.stats.messagesReceived === 303);
          const passed = heard.all.length - 2;
          expect(passed).toBe(Math.floor(10_000 / small.length));
        }),
      );

      test(
        "a limit is each client's own, and replies and heartbeats do not count",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const { server, peer, connection } = await scene(stage, { rateLimit: { messagesPerSecond: 1 } }, clock);
          for (let n = 0; n < 10; n++) peer.write(frame(Type.PING));
          for (let n = 0; n < 10; n++) {
            const result = connection.call("ask");
            const { id } = await peer.nextOf(Type.RPC_REQUEST);
            peer.write(frame(Type.RPC_RESPONSE, { success: true, result: n }, { id }));
            expect(await result).toBe(n);
          }
          peer.write(call(1n, "echo"), call(2n, "echo"));
          expect((await peer.nextOf(Type.RPC_RESPONSE)).id).toBe(1n);
          expect((await peer.next()).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
          const other = await stage.join(server);
          expect(await other.call("echo", { a: 1 })).toEqual({ a: 1 });
        }),
      );
    });

    test(
      "no input throws out of the event loop: a thousand connections of garbage, and the server serves on",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 2000 });
        server.rpc("echo", (params) => params);
        server.on("chat", (_client, data) => data);
        // Park-Miller: the same garbage in every run.
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
        for (let round = 0; round < 1000; round++) {
          const peer = await stage.raw(server);
          if (round % 4 !== 0) await peer.login();
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
      60_000,
    );
  });
}
