import { type ConduitError, ErrorCode, type Rejection } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { passwordHash, ScramClient } from "../../packages/core/src/test-support/scram-by-rfc.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PASSWORD, PATIENT, stagedOn } from "./stage.ts";

const HANDSHAKE_BYTES = 16 * 1024;
const CLIENT_INFO = { name: "raw", version: "1.0.0" };

function authRequest(fields: Record<string, unknown>): Uint8Array {
  return frame(Type.AUTH_REQUEST, { client_info: CLIENT_INFO, ...fields });
}

/** Logins, including guesses, replays and floods. */
export function describeLogin(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`the login on ${subject.name}`, PATIENT, () => {
    test(
      "SCRAM-SHA-256 by the RFC logs in, and the server proves that it knows the password",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        // `login` follows the RFC and verifies the server's signature.
        const success = await peer.login({ password: PASSWORD });
        expect(success).toMatchObject({
          session_token: server.connections[0]?.session.token,
          server_info: { name: "conduit_server", version: "1.0.0" },
          extensions: { reply: true, close: true, cancel: true, deadline: true, call: true },
        });
      }),
    );

    test(
      "only extensions that both sides know are agreed on",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        const success = await peer.login({
          password: PASSWORD,
          extensions: { reply: true, flow: false, teleport: true, close: { unknown: 1 } },
        });
        expect(success["extensions"]).toEqual({ reply: true, close: true });
      }),
    );

    test(
      "neither the password nor netconduit's hash of it is on the wire",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        await peer.login({ password: PASSWORD });
        const wire = Buffer.concat(peer.sent).toString("latin1");
        expect(wire).not.toContain(PASSWORD);
        expect(wire).not.toContain(passwordHash(PASSWORD));
      }),
    );

    test(
      "a replayed login fails",
      staged(async (stage) => {
        const server = await stage.listen();
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const peer = await stage.raw(server);
        await peer.login({ password: PASSWORD });

        const replay = await stage.raw(server);
        replay.write(peer.sent[0] as Uint8Array);
        expect((await replay.next()).type).toBe(Type.AUTH_CHALLENGE);
        replay.write(peer.sent[1] as Uint8Array);
        expect(await replay.next()).toMatchObject({
          type: Type.AUTH_FAILURE,
          payload: { reason: "Invalid password", code: ErrorCode.AUTH_FAILED },
        });
        await replay.over;
        expect(await rejections.next()).toMatchObject({ code: ErrorCode.AUTH_FAILED });
      }),
    );

    test(
      "a challenge can be answered once: a second guess on the same connection is ignored",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        const wrong = new ScramClient("guess");
        peer.write(authRequest({ scram: wrong.clientFirst, extensions: {} }));
        const { data } = (await peer.next()).payload as { data: string };
        const answer = frame(Type.AUTH_RESPONSE, { data: wrong.answer(data) });
        peer.write(answer, answer, answer);
        expect((await peer.next()).type).toBe(Type.AUTH_FAILURE);
        await peer.over;
        expect(peer.frames.all).toHaveLength(2);
        expect(server.stats).toMatchObject({ authFailures: 1, rejected: 1 });
      }),
    );

    test(
      "a wrong password is AUTH_FAILED on both sides, and is counted",
      staged(async (stage) => {
        const server = await stage.listen();
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const client = stage.client(server, { password: "wrong" });
        expect(await failureOf(client.connect())).toMatchObject({ code: 3001 });
        expect(client.state).toBe("failed");
        expect(await rejections.next()).toMatchObject({ code: 3001 });
        expect(server.stats).toMatchObject({ authFailures: 1, rejected: 1, loggedIn: 0 });
      }),
    );

    test(
      "a refusal that arrives together with the end, while the client computes its answer, is not lost",
      staged(async (stage) => {
        const server = await stage.listen();
        const working = gate();
        const go = gate();
        const { crypto } = subject.runtime;
        const runtime: Runtime = {
          ...subject.runtime,
          crypto: {
            ...crypto,
            pbkdf2Sha256: async (password, salt, iterations) => {
              working.open();
              await go.promise;
              return crypto.pbkdf2Sha256(password, salt, iterations);
            },
          },
        };
        // A unique password, because the key of another password might be cached.
        const client = stage.client(server, { password: "never seen before" }, runtime);
        const result = failureOf(client.connect());
        await working.promise;
        await server.stop();
        go.open();
        expect((await result).code).toBe(ErrorCode.SERVER_STOPPING);
      }),
    );

    test(
      "netconduit's password hash is refused, and the refusal names the option that admits it",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        peer.write(authRequest({ password_hash: passwordHash(PASSWORD) }));
        const failure = await peer.next();
        expect(failure).toMatchObject({ type: Type.AUTH_FAILURE, payload: { code: ErrorCode.PASSWORD_HASH_REFUSED } });
        expect((failure.payload as { reason: string }).reason).toContain("allowPasswordHash");
        await peer.over;
      }),
    );

    test(
      "allowPasswordHash lets a netconduit peer in, and only with the right hash",
      staged(async (stage) => {
        const server = await stage.listen({ allowPasswordHash: true });
        const peer = await stage.raw(server);
        peer.write(authRequest({ password_hash: passwordHash(PASSWORD) }));
        const success = await peer.next();
        expect(success.type).toBe(Type.AUTH_SUCCESS);
        expect(Object.keys(success.payload as object)).toEqual(["session_token", "server_info"]);
        expect(server.connections[0]?.info.netconduit).toBe(true);
        expect(server.connections[0]?.session.method).toBe("password-hash");

        const wrong = await stage.raw(server);
        wrong.write(authRequest({ password_hash: passwordHash("wrong") }));
        expect((await wrong.next()).type).toBe(Type.AUTH_FAILURE);
      }),
    );

    test(
      "allowPasswordHash on both ends changes nothing for a client of ours: it logs in by SCRAM",
      staged(async (stage) => {
        const server = await stage.listen({ allowPasswordHash: true });
        const client = await stage.join(server, { allowPasswordHash: true });
        const connection = connectionOf(server, client);
        expect([connection.session.method, connection.info.netconduit]).toEqual(["scram", false]);
        expect(client.serverInfo?.netconduit).toBe(false);
      }),
    );

    test(
      "a call to a netconduit client fails at once with PEER_UNSUPPORTED",
      staged(async (stage) => {
        const server = await stage.listen({ allowPasswordHash: true });
        const peer = await stage.raw(server);
        peer.write(authRequest({ password_hash: passwordHash(PASSWORD) }));
        await peer.next();
        const failure = await failureOf(server.connections[0]!.call("any"));
        expect(failure.code).toBe(ErrorCode.PEER_UNSUPPORTED);
      }),
    );

    test(
      "a client that does not log in within authTimeoutMs receives AUTH_TIMEOUT and is closed",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ authTimeoutMs: 5000 }, clock.runtime);
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const silent = await stage.raw(server);
        const dawdler = await stage.raw(server);
        await until(() => server.stats.accepted === 2);
        dawdler.write(authRequest({ scram: new ScramClient(PASSWORD).clientFirst, extensions: {} }));
        expect((await dawdler.next()).type).toBe(Type.AUTH_CHALLENGE);
        clock.advance(4900);
        expect(rejections.all).toEqual([]);
        clock.advance(200);
        for (const peer of [silent, dawdler]) {
          expect(await peer.next()).toMatchObject({
            type: Type.AUTH_FAILURE,
            payload: { code: ErrorCode.AUTH_TIMEOUT },
          });
          await peer.over;
        }
        expect(rejections.all.map(({ code }) => code)).toEqual([ErrorCode.AUTH_TIMEOUT, ErrorCode.AUTH_TIMEOUT]);
      }),
    );

    test(
      "wrong passwords from one address use up its budget; connect() with the right one waits until it gets in",
      staged(async (stage) => {
        const server = await stage.listen();
        const overUnix = server.address.path !== undefined;
        const guesses = Array.from({ length: 30 }, () => stage.client(server, { password: "wrong" }).connect());
        const failures = await Promise.all(guesses.map((guess) => failureOf(guess)));
        expect(new Set(failures.map(({ code }) => code))).toEqual(new Set([ErrorCode.AUTH_FAILED]));
        expect(overUnix || server.stats.rejected > server.stats.authFailures).toBe(true);
        expect((await stage.join(server)).isConnected).toBe(true);
      }),
    );

    test(
      "200 clients of one address that log in simultaneously are all accepted, and none is asked to retry later",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 200 });
        const clients = Array.from({ length: 200 }, () => stage.client(server, { connectTimeoutMs: 60_000 }));
        await Promise.all(clients.map((client) => client.connect()));
        expect([server.connectionCount, server.stats.rejected]).toEqual([200, 0]);
      }),
    );

    for (const [what, bytes] of [
      ["a message", message("chat", "hello")],
      ["a call", call(1n, "listall")],
      ["a heartbeat", frame(Type.HEARTBEAT_PING)],
      ["a request for the list of methods", frame(Type.RPC_LIST)],
      ["an answer without a challenge", frame(Type.AUTH_RESPONSE, { data: "c=biws,r=x,p=eA==" })],
      ["an AUTH_SUCCESS", frame(Type.AUTH_SUCCESS, { session_token: "x" })],
      ["an AUTH_REQUEST without credentials", authRequest({})],
      ["an AUTH_REQUEST that is no map", frame(Type.AUTH_REQUEST, [1, 2])],
      ["an AUTH_REQUEST without a payload", frame(Type.AUTH_REQUEST)],
      ["an AUTH_REQUEST with scram of another type", authRequest({ scram: 7 })],
      ["an AUTH_REQUEST with malformed scram", authRequest({ scram: "nonsense" })],
      ["an AUTH_REQUEST whose payload is cut off", rawFrame(Type.AUTH_REQUEST, Uint8Array.of(0x82, 0xa1))],
      ["an AUTH_REQUEST with a forbidden key", frame(Type.AUTH_REQUEST, JSON.parse('{"__proto__": {"scram": "x"}}'))],
    ] as const) {
      test(
        `before login only the handshake is accepted: ${what} ends the connection`,
        staged(async (stage) => {
          const server = await stage.listen();
          const rejections = new EventLog<Rejection>();
          server.onClientRejected(rejections.add);
          const handled = new EventLog<unknown>();
          server.on("chat", (_client, data) => handled.add(data));
          const peer = await stage.raw(server);
          peer.write(bytes);
          await peer.over;
          await rejections.count(1);
          expect(rejections.all).toHaveLength(1);
          expect(handled.all).toEqual([]);
          expect(peer.frames.all.filter(({ type }) => type !== Type.AUTH_FAILURE)).toEqual([]);
          expect((await stage.join(server)).isConnected).toBe(true);
        }),
      );
    }

    test(
      "16 KiB before login: a handshake frame of that size is read, one byte more is refused on its header",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<ConduitError>();
        server.onError((error) => errors.add(error as ConduitError));
        const scram = new ScramClient(PASSWORD).clientFirst;
        const padded = (size: number): Uint8Array => {
          const empty = authRequest({ scram, extensions: {}, padding: new Uint8Array(1000) }).length - 32 - 1000;
          return authRequest({ scram, extensions: {}, padding: new Uint8Array(size - empty) });
        };
        const fits = await stage.raw(server);
        const largest = padded(HANDSHAKE_BYTES);
        expect(largest.length).toBe(32 + HANDSHAKE_BYTES);
        fits.write(largest);
        expect((await fits.next()).type).toBe(Type.AUTH_CHALLENGE);

        const tooLarge = await stage.raw(server);
        tooLarge.write(rawFrame(Type.AUTH_REQUEST, new Uint8Array(0), { length: HANDSHAKE_BYTES + 1 }));
        await tooLarge.over;
        const error = await errors.next();
        expect(error.code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
        expect(error.message).toContain("16385");
        expect(error.message).toContain("16384");
      }),
    );

    test(
      "before login a payload that inflates beyond 16 KiB is refused without being inflated in full",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        const bomb = subject.runtime.deflate(new Uint8Array(10 * 1024 * 1024));
        expect(bomb.length).toBeLessThan(HANDSHAKE_BYTES);
        const peer = await stage.raw(server);
        peer.write(rawFrame(Type.AUTH_REQUEST, bomb, { flags: COMPRESSED }));
        expect((await peer.next(Type.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
      }),
    );

    test(
      "frames sent behind the login are limited to 32 KiB until it is done",
      staged(async (stage) => {
        const server = await stage.listen();
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const peer = await stage.raw(server);
        const filler = message("chat", new Uint8Array(8000));
        peer.write(authRequest({ scram: new ScramClient(PASSWORD).clientFirst, extensions: {} }), filler, filler);
        peer.write(...Array.from({ length: 100 }, () => filler));
        await peer.over;
        expect(server.connectionCount).toBe(0);
        // Rejected because of their size, or their type if they are read one by one.
        expect(rejections.all).toHaveLength(1);
      }),
    );

    test(
      "a login sent byte by byte succeeds",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.raw(server);
        const scram = new ScramClient(PASSWORD);
        for (const byte of authRequest({ scram: scram.clientFirst, extensions: {} })) peer.write(Uint8Array.of(byte));
        const { data } = (await peer.next()).payload as { data: string };
        for (const byte of frame(Type.AUTH_RESPONSE, { data: scram.answer(data) })) peer.write(Uint8Array.of(byte));
        expect((await peer.next()).type).toBe(Type.AUTH_SUCCESS);
      }),
    );

    test(
      "a second login ends the connection",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.rawLoggedIn(server);
        peer.write(authRequest({ scram: new ScramClient(PASSWORD).clientFirst, extensions: {} }));
        expect(await peer.next()).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.UNEXPECTED_FRAME } });
        await peer.over;
        await until(() => server.connectionCount === 0);
      }),
    );

    test(
      "a client of another protocol is dropped at its first bytes",
      staged(async (stage) => {
        const server = await stage.listen();
        const rejections = new EventLog<Rejection>();
        server.onClientRejected(rejections.add);
        const peer = await stage.raw(server);
        peer.write(Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        await peer.over;
        expect(await rejections.next()).toMatchObject({ code: ErrorCode.BAD_MAGIC });
      }),
    );
  });
}
