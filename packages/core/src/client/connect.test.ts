import { describe, expect, test } from "vitest";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { type ConduitError, ErrorCode } from "../errors.ts";
import type { DialSignal } from "../runtime.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { lookedUp } from "../test-support/file-scene.ts";
import { gate } from "../test-support/gate.ts";
import { leftovers } from "../test-support/leftovers.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, RawServer } from "../test-support/raw-memory.ts";
import { frame, rawFrame, Type } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";
import type { Client } from "./client.ts";

/** Records state changes as `event:state`. */
function watchStates(client: Client): string[] {
  const states: string[] = [];
  client.onStateChange(({ event, to }) => states.push(`${event}:${to}`));
  return states;
}

describe("connect", () => {
  test("resolves when the client has logged in and its onConnect hooks have finished", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { name: "main", version: "2.0", description: "the one" });
    const { client } = testClient(runtime, { name: "me", version: "3.0" });
    const states = watchStates(client);
    const hook = gate();
    client.onConnect(() => hook.promise);
    const connecting = outcome(client.connect());
    await runtime.settle();
    expect([connecting.state, client.isConnected]).toEqual(["pending", true]);
    hook.open();
    await runtime.settle();
    expect(connecting.state).toBe("resolved");
    expect(states).toEqual(["dial:connecting", "opened:authenticating", "authenticated:connected", "ready:active"]);
    expect(client.serverInfo).toEqual({ name: "main", version: "2.0", description: "the one", netconduit: false });
    expect(client.sessionToken).toBe(server.connections[0]?.session.token);
    expect(server.connections[0]?.info).toMatchObject({ name: "me", version: "3.0" });
    expect([client.isAuthenticated, runtime.timers.keepingAlive]).toEqual([true, 0]);
  });

  test("sets the client's session and counters", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime);
    expect([client.sessionToken, client.stats]).toEqual([null, null]);
    await client.connect();
    expect([client.sessionToken, client.stats]).toEqual([
      expect.stringMatching(/^[0-9a-f]+$/),
      expect.objectContaining({ connectedAt: runtime.wallClock(), messagesSent: 0 }),
    ]);
  });

  test("ignores a second READY", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client, errors } = testClient(runtime);
    let connects = 0;
    client.onConnect(() => {
      connects += 1;
    });
    const connecting = client.connect();
    const peer = await raw.admit({ extensions: ["ready", "close"] });
    peer.write(frame(Type.READY), frame(Type.READY));
    await connecting;
    await runtime.settle();
    expect([connects, client.state, errors]).toEqual([1, "active", []]);
  });

  test("called twice dials once; called when connected resolves at once", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime);
    await Promise.all([client.connect(), client.connect()]);
    await client.connect();
    expect(runtime.dials).toHaveLength(1);
  });

  test("called by a listener during a dial joins it, including automatic dials", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { delayMs: 10, jitter: false } });
    const joined: Promise<void>[] = [];
    client.onStateChange(({ to }) => {
      if (to === "connecting") joined.push(client.connect());
    });
    await client.connect();
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await runtime.advance(100);
    await Promise.all(joined);
    expect([joined.length, runtime.dials.length, client.state, server.connectionCount]).toEqual([2, 2, "active", 1]);
  });

  test("dials the address in the options", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { host: "::1", port: 99, ipv6: true, tls: true, bufferSize: 4096 });
    const error = await client.connect().catch((reason: ConduitError) => reason);
    expect(runtime.dials[0]?.target).toEqual({ host: "::1", port: 99, family: 6, tls: {}, bufferSize: 4096 });
    expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("dials a Unix socket at its path", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { path: "/run/app.sock" });
    const { client } = testClient(runtime, { path: "/run/app.sock" });
    await client.connect();
    expect([runtime.dials[0]?.target.path, server.address]).toEqual([
      "/run/app.sock",
      { host: "", port: 0, path: "/run/app.sock" },
    ]);
  });

  test("that fails leaves the client failed, disconnected and able to retry", async () => {
    const runtime = fakeRuntime();
    const { client, errors } = testClient(runtime);
    const states = watchStates(client);
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    expect([client.state, client.isConnected, client.isAuthenticated]).toEqual(["failed", false, false]);
    expect(states).toEqual(["dial:connecting", "fail:failed"]);
    await testServer(runtime);
    await client.connect();
    expect([client.state, errors]).toEqual(["active", []]);
  });

  test("doesn't retry automatically when the first connect fails", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime);
    await client.connect().catch(() => undefined);
    await runtime.advance(600_000);
    expect([runtime.dials.length, runtime.timers.keepingAlive]).toEqual([1, 0]);
  });

  test.each([
    ["its name lookup hangs", () => new Promise<never>(() => undefined)],
    [
      "its dial settles only when it is aborted",
      ({ signal }: { signal: DialSignal }) =>
        new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    ],
  ])("is CONNECT_TIMEOUT after connectTimeoutMs when %s", async (_what, behaviour) => {
    const runtime = fakeRuntime();
    runtime.dialBehaviours.push(behaviour);
    const { client } = testClient(runtime, { connectTimeoutMs: 500 });
    const connecting = outcome(client.connect());
    await runtime.advance(499);
    expect(connecting.state).toBe("pending");
    await runtime.advance(1);
    expect(connecting.error).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
    expect(connecting.error?.message).toBe("Not connected to test:8080 within connectTimeoutMs 500");
    expect([client.state, runtime.dials[0]?.signal.aborted]).toEqual(["failed", true]);
  });

  test("is CONNECT_TIMEOUT when the server accepts and sends nothing; the stream is destroyed", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { connectTimeoutMs: 500 });
    const connecting = outcome(client.connect());
    await runtime.advance(600);
    expect(connecting.error).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
    expect((await raw.accept()).ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
  });

  test("is CONNECT_TIMEOUT when the credentials callback hangs", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { connectTimeoutMs: 500, password: () => new Promise(() => undefined) });
    const connecting = outcome(client.connect());
    await runtime.advance(600);
    expect([connecting.error?.code, runtime.dials.length]).toEqual([ErrorCode.CONNECT_TIMEOUT, 0]);
  });

  test("destroys a stream that opens after the timeout", async () => {
    const runtime = fakeRuntime();
    const opened = gate();
    const [dialled, accepted] = runtime.pair();
    let ended: Error | null | undefined;
    accepted.open({
      data: () => undefined,
      drained: () => undefined,
      closed: (error) => {
        ended = error;
      },
    });
    runtime.dialBehaviours.push(async () => {
      await opened.promise;
      return dialled;
    });
    const { client } = testClient(runtime, { connectTimeoutMs: 500 });
    const connecting = outcome(client.connect());
    await runtime.advance(600);
    opened.open();
    await runtime.settle();
    expect([connecting.state, client.state, ended !== undefined]).toEqual(["rejected", "failed", true]);
  });

  test("rejects with the runtime's own error when it has no code", async () => {
    const runtime = fakeRuntime();
    runtime.dialBehaviours.push(() => Promise.reject(new Error("odd")));
    const { client } = testClient(runtime);
    const codes: (number | undefined)[] = [];
    client.onStateChange(({ reason }) => codes.push(reason.code));
    await expect(client.connect()).rejects.toThrow("odd");
    expect(codes).toEqual([undefined, ErrorCode.CONNECTION_ERROR]);
  });
});

describe("a login that fails", () => {
  test("for a wrong password is AUTH_FAILED", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime, { password: "wrong" });
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    await runtime.settle();
    expect([client.state, server.connectionCount]).toEqual(["failed", 0]);
  });

  test("for a full server is SERVER_FULL", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { maxConnections: 1 });
    await testClient(runtime).client.connect();
    await expect(testClient(runtime).client.connect()).rejects.toMatchObject({ code: ErrorCode.SERVER_FULL });
  });

  test("because the other side speaks another protocol is NOT_NETCONDUIT, with the cause", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client, errors } = testClient(runtime);
    const connecting = outcome(client.connect());
    (await raw.accept()).write(new TextEncoder().encode("220 mail.example.com ESMTP\r\n"));
    await runtime.settle();
    expect(connecting.error).toMatchObject({
      code: ErrorCode.NOT_NETCONDUIT,
      cause: { code: ErrorCode.BAD_MAGIC },
    });
    expect(errors).toEqual([]);
  });

  test.each([
    [
      "TLS, in plain text",
      {},
      Uint8Array.of(0x15, 3, 1, 0, 2, 2, 70),
      ErrorCode.TLS_NOT_TLS,
      "speaks TLS and this client does",
    ],
    [
      "TLS within TLS",
      { tls: true },
      Uint8Array.of(0x15, 3, 1, 0, 2, 2, 70),
      ErrorCode.NOT_NETCONDUIT,
      "doesn't speak",
    ],
    [
      "HTTP",
      {},
      new TextEncoder().encode("HTTP/1.1 400 Bad"),
      ErrorCode.NOT_NETCONDUIT,
      "HTTP server at test:8080 doesn't speak",
    ],
  ])(
    "because the other side speaks %s reports the protocol and the address",
    async (_what, options, bytes, code, words) => {
      const runtime = fakeRuntime();
      const raw = await RawServer.start(runtime);
      const { client } = testClient(runtime, options);
      const connecting = outcome(client.connect());
      (await raw.accept()).write(bytes);
      await runtime.settle();
      expect(connecting.error).toMatchObject({ code, cause: { code: ErrorCode.BAD_MAGIC } });
      expect(connecting.error?.message).toContain(words);
      expect(connecting.error?.message).toContain(`${client.config.host}:${client.config.port}`);
    },
  );

  test.each([
    ["closes", ErrorCode.CONNECTION_CLOSED, (stream: ByteStream): void => void stream.close()],
    ["resets", ErrorCode.CONNECTION_RESET, (stream: ByteStream): void => stream.destroy(new Error("reset"))],
  ])(
    "because the other side %s the connection without sending anything reports that and suggests TLS as a cause",
    async (what, code, end) => {
      const runtime = fakeRuntime();
      const raw = await RawServer.start(runtime);
      const failure = async (options: Record<string, unknown>): Promise<string | undefined> => {
        const connecting = outcome(testClient(runtime, options).client.connect());
        end((await raw.accept()).stream);
        await runtime.settle();
        expect(connecting.error).toMatchObject({ code });
        return connecting.error?.message;
      };
      const done = what.replace("closes", "closed").replace("resets", "reset");
      expect(await failure({})).toMatch(
        new RegExp(`${done} the connection during the login; .* TLS \\(option tls\\)\\?$`),
      );
      expect(await failure({ tls: true })).toMatch(/during the login; is it a netconduit server\?$/);
    },
  );

  test("because a netconduit server disconnects in the middle of it doesn't suggest other causes", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    const request = await peer.next(FrameType.AUTH_REQUEST);
    const nonce = String(request.payload?.["scram"]).split("r=")[1];
    peer.write(frame(FrameType.AUTH_CHALLENGE, { data: `r=${nonce}0123456789abcdef,s=c2FsdA==,i=4096` }));
    await peer.next(FrameType.AUTH_RESPONSE);
    peer.end();
    await runtime.settle();
    expect(connecting.error?.message).toMatch(/closed the connection during the login$/);
  });

  test("has the code of the rejection even if FIN follows directly while the answer is computed", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const slow = gate();
    const { pbkdf2Sha256 } = runtime.crypto;
    Object.assign(runtime.crypto, {
      pbkdf2Sha256: async (...args: Parameters<typeof pbkdf2Sha256>) => {
        await slow.promise;
        return pbkdf2Sha256(...args);
      },
    });
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    const request = await peer.next(FrameType.AUTH_REQUEST);
    const nonce = String(request.payload?.["scram"]).split("r=")[1];
    peer.write(
      frame(FrameType.AUTH_CHALLENGE, { data: `r=${nonce}0123456789abcdef,s=c2FsdA==,i=4096` }),
      frame(FrameType.AUTH_FAILURE, { reason: "full", code: ErrorCode.SERVER_FULL }),
    );
    peer.end();
    await runtime.settle();
    expect(connecting.state).toBe("pending");
    slow.open();
    await runtime.settle();
    expect(connecting.error?.code).toBe(ErrorCode.SERVER_FULL);
  });

  test.each([
    ["hangs up", ErrorCode.CONNECTION_CLOSED, (stream: ByteStream): void => void stream.close()],
    ["resets the connection", ErrorCode.CONNECTION_RESET, (stream: ByteStream): void => stream.destroy(null)],
  ])("is reported immediately when the server %s while a key is derived", async (_, code, end) => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const slow = gate<Uint8Array>();
    Object.assign(runtime.crypto, { pbkdf2Sha256: () => slow.promise });
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    const request = await peer.next(FrameType.AUTH_REQUEST);
    const nonce = String(request.payload?.["scram"]).split("r=")[1];
    peer.send(FrameType.AUTH_CHALLENGE, { data: `r=${nonce}0123456789abcdef,s=c2FsdA==,i=4096` });
    await runtime.settle();
    end(peer.stream);
    await runtime.settle();
    expect([connecting.state, connecting.error?.code]).toEqual(["rejected", code]);
    slow.open(new Uint8Array(32));
    await runtime.settle();
    expect([connecting.settled, client.isConnected]).toEqual([1, false]);
  });

  test("because a key couldn't be derived isn't cached: the next connect derives it", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { pbkdf2Sha256 } = runtime.crypto;
    Object.assign(runtime.crypto, { pbkdf2Sha256: () => Promise.reject(new Error("out of memory")) });
    const { client } = testClient(runtime);
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.INTERNAL, message: "out of memory" });
    Object.assign(runtime.crypto, { pbkdf2Sha256 });
    await client.connect();
    expect(client.isConnected).toBe(true);
  });

  test("because the connection breaks has that error's code", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    (await raw.accept()).stream.destroy(null);
    await runtime.settle();
    expect(connecting.error).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
  });

  test("because the server doesn't prove its identity is SERVER_NOT_TRUSTED", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    (await raw.accept()).send(FrameType.AUTH_SUCCESS, { session_token: "x", server_info: {} });
    await runtime.settle();
    expect(connecting.error).toMatchObject({ code: ErrorCode.SERVER_NOT_TRUSTED });
  });

  test("leaves no timer or stream behind", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    peer.send(FrameType.AUTH_FAILURE, { reason: "no", code: ErrorCode.AUTH_FAILED });
    await runtime.settle();
    expect(connecting.state).toBe("rejected");
    expect([peer.ended === undefined, runtime.timers.keepingAlive]).toEqual([false, 0]);
  });
});

describe("credentials", () => {
  test("from a callback are requested at every connect", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const passwords = [PASSWORD, Promise.resolve(PASSWORD)];
    const { client } = testClient(runtime, { password: () => passwords.shift() ?? expect.unreachable() });
    await client.connect();
    await client.disconnect();
    await client.connect();
    expect(passwords).toHaveLength(0);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("vault is sealed");
      },
    ],
    ["rejects", () => Promise.reject(new Error("vault is sealed"))],
  ])("from a callback that %s fail the connect with its error before dialling", async (_how, password) => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { password });
    await expect(client.connect()).rejects.toThrow("vault is sealed");
    expect([runtime.dials.length, client.state]).toEqual([0, "failed"]);
  });

  test("that are empty fail the connect before dialling", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { password: () => "" });
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(runtime.dials).toEqual([]);
  });

  test("are not printed with the config", () => {
    const { client } = testClient(fakeRuntime());
    expect(JSON.stringify(client.config)).not.toContain(PASSWORD);
  });
});

describe("disconnect", () => {
  test("of a client that never connected has no effect", async () => {
    const { client } = testClient(fakeRuntime());
    await client.disconnect();
    expect(client.state).toBe("disconnected");
  });

  test("of a client whose connect failed leaves it closed", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime);
    await client.connect().catch(() => undefined);
    await client.disconnect();
    expect(client.state).toBe("closed");
  });

  test.each([
    [
      "while it dials",
      (runtime: ReturnType<typeof fakeRuntime>) => runtime.dialBehaviours.push(() => new Promise(() => undefined)),
    ],
    ["while it waits for its credentials", () => undefined],
  ])("%s rejects the connect and leaves the client closed", async (_when, prepare) => {
    const runtime = fakeRuntime();
    prepare(runtime);
    const password = runtime.dialBehaviours.length > 0 ? PASSWORD : () => new Promise<string>(() => undefined);
    const { client } = testClient(runtime, { password });
    const connecting = outcome(client.connect());
    await runtime.settle();
    const leaving = outcome(client.disconnect());
    await runtime.settle();
    expect([connecting.state, connecting.error?.code]).toEqual(["rejected", ErrorCode.CONNECTION_CLOSED]);
    expect([leaving.state, client.state, runtime.timers.keepingAlive]).toEqual(["resolved", "closed", 0]);
  });

  test("while it waits to retry at a server that currently rejects all logins leaves no timer", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    (await raw.accept()).send(FrameType.AUTH_FAILURE, {
      reason: "later",
      code: ErrorCode.RATE_LIMITED,
      retry_after: 5,
    });
    await runtime.settle();
    expect(connecting.state).toBe("pending");
    await client.disconnect();
    expect([connecting.error?.code, leftovers()]).toEqual([ErrorCode.CONNECTION_CLOSED, []]);
  });

  test.each(["connecting", "authenticating", "connected"])(
    "from a listener that is notified of the state %s leaves the client closed, also of a dial by itself",
    async (state) => {
      const runtime = fakeRuntime();
      const { server } = await testServer(runtime);
      const { client } = testClient(runtime, { reconnect: { delayMs: 10, jitter: false } });
      const closings: Promise<void>[] = [];
      const close = (): void => {
        const remove = client.onStateChange(({ to }) => {
          if (to !== state) return;
          remove();
          closings.push(client.close().then(() => expect(client.state).toBe("closed")));
        });
      };
      close();
      await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
      await Promise.all(closings);
      await client.connect();
      close();
      runtime.pairs.at(-1)?.accepted.destroy(null);
      await runtime.advance(100);
      await Promise.all(closings);
      expect([closings.length, client.state, server.connectionCount]).toEqual([2, "closed", 0]);
    },
  );

  test("during the login rejects the connect, closes the client and destroys the stream", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const states = watchStates(client);
    const connecting = outcome(client.connect());
    const peer = await raw.accept();
    await client.disconnect();
    await runtime.settle();
    expect([connecting.error?.code, client.state]).toEqual([ErrorCode.CONNECTION_CLOSED, "closed"]);
    expect(peer.ended).not.toBeUndefined();
    expect(states.at(-1)).toBe("closed:closed");
  });

  test("followed immediately by connect ends the first connection before it opens the second", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime);
    await client.connect();
    const states = watchStates(client);
    void client.disconnect();
    await client.connect();
    expect(states).toEqual([
      "close:closing",
      "closed:closed",
      "dial:connecting",
      "opened:authenticating",
      "authenticated:connected",
      "ready:active",
    ]);
    expect([client.isConnected, server.stats.loggedIn]).toEqual([true, 2]);
  });

  test("with a concurrent connect: a folder served afterwards is searched for unfinished files as usual", async () => {
    const runtime = fakeRuntime();
    const paths = lookedUp(runtime);
    await testServer(runtime);
    const { client } = testClient(runtime);
    await client.connect();
    const closing = client.close();
    await Promise.all([client.connect(), closing]);
    client.files("box", { dir: "/box", upload: true });
    await runtime.settle();
    expect([client.isConnected, paths]).toEqual([true, ["/box/.netconduit"]]);
  });

  test("called by an onConnect hook doesn't wait for the hook", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime);
    client.onConnect(() => client.disconnect());
    await client.connect();
    expect(client.state).toBe("closed");
  });

  test("runs onDisconnect once and doesn't dial again", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime);
    const reasons: string[] = [];
    client.onDisconnect((_client, reason) => reasons.push(reason.message));
    await client.connect();
    await client.disconnect("Lunch");
    await client.disconnect();
    await runtime.advance(600_000);
    expect([reasons, runtime.dials.length]).toEqual([["Lunch"], 1]);
  });

  test("is called by `await using` at the end of its block", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime);
    {
      await using owned = client;
      await owned.connect();
    }
    expect(client.state).toBe("closed");
  });

  test("at the moment of the login ends the connection and rejects the connect", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime);
    client.onStateChange(({ to }) => {
      if (to === "active") void client.disconnect();
    });
    const connecting = outcome(client.connect());
    await runtime.settle();
    expect([client.state, client.isConnected, server.connectionCount]).toEqual(["closed", false, 0]);
    expect(connecting.settled).toBe(1);
  });
});

describe("a connection that ends directly after the login", () => {
  test("reports an invalid frame directly after AUTH_SUCCESS", async () => {
    const runtime = fakeRuntime();
    const server = await RawServer.start(runtime);
    const { client, errors } = testClient(runtime);
    const connecting = client.connect();
    const { peer, success } = await server.answer();
    peer.write(success, rawFrame(FrameType.MESSAGE, Uint8Array.of(0xc1)));
    await connecting;
    await runtime.settle();
    expect(errors).toMatchObject([{ stage: "protocol" }]);
  });

  test("is ended by a forbidden frame, which is reported", async () => {
    const runtime = fakeRuntime();
    const server = await RawServer.start(runtime);
    const { client, errors } = testClient(runtime, { reconnect: { enabled: false } });
    const ends: number[] = [];
    client.onDisconnect((_client, reason) => ends.push(reason.code));
    const connecting = client.connect();
    const { peer, success } = await server.answer();
    peer.write(success, frame(FrameType.AUTH_CHALLENGE, { data: "x" }));
    await connecting;
    await runtime.advance(20_000);
    expect([errors.map((error) => error.code), ends]).toEqual([
      [ErrorCode.UNEXPECTED_FRAME],
      [ErrorCode.UNEXPECTED_FRAME],
    ]);
  });

  test("runs onConnect and onDisconnect once each", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    const events: string[] = [];
    client.onConnect(() => events.push("connect"));
    client.onDisconnect((_client, reason) => events.push(`disconnect ${reason.message}`));
    const connecting = outcome(client.connect());
    const { peer, success } = await raw.answer();
    peer.write(success, frame(FrameType.CLOSE, { reason: "banned", reconnect: false }));
    peer.end();
    await runtime.settle();
    expect([events.sort(), connecting.settled, client.state]).toEqual([["connect", "disconnect banned"], 1, "closed"]);
  });

  test("isn't redialled immediately without limit if the server reports an expired session each time", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = outcome(client.connect());
    for (let n = 1; n <= 5 && connecting.state === "pending"; n += 1) {
      const { peer, success } = await raw.answer({ extensions: { close: true, ready: true } });
      peer.write(success, frame(FrameType.CLOSE, { code: ErrorCode.SESSION_EXPIRED, reason: "expired" }));
      peer.end();
      await runtime.settle();
      await runtime.advance(1000);
    }
    expect(runtime.dials).toHaveLength(2);
    expect(connecting.error?.code).toBe(ErrorCode.SESSION_EXPIRED);
  });

  test("is redialled like any lost connection", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { delayMs: 100, jitter: false } });
    client.connect().catch(() => undefined);
    const { peer, success } = await raw.answer();
    peer.write(success, frame(0x0999));
    await runtime.settle();
    expect(client.state).toBe("closed");
    await runtime.advance(200);
    expect(runtime.dials).toHaveLength(2);
    await client.disconnect();
  });
});
