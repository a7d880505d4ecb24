import { describe, expect, test } from "vitest";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { lookedUp } from "../test-support/file-scene.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, withClients } from "../test-support/peers.ts";
import { memoryPeer, PASSWORD, rawClient, rawDial } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";
import { Server, type ServerInit } from "./server.ts";

/** Creates a server without starting it. */
function idle(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const server = new Server({ password: PASSWORD, host: "test", scramIterations: 4096, ...options }, runtime);
  return { runtime, server };
}

/** Makes the runtime's next listener accept a client before `listen` resolves. @returns the client's stream when that happens */
function comeEarly(runtime: FakeRuntime): Promise<ByteStream> {
  return new Promise((resolve) => {
    const listen = runtime.listen.bind(runtime);
    runtime.listen = async (target, events) => {
      const listener = await listen(target, events);
      const [theirs, ours] = runtime.pair();
      events.accepted(ours);
      resolve(theirs);
      await runtime.settle();
      return listener;
    };
  });
}

describe("start", () => {
  test("runs the startup hooks, then listens, then runs the listening hooks", async () => {
    const { runtime, server } = idle({ port: 0 });
    const events: unknown[] = [];
    server.onStartup(async () => {
      await runtime.settle();
      events.push(["startup", server.state, server.address.port]);
    });
    server.onListening(() => events.push(["listening", server.state, server.address.port]));
    expect([server.state, server.address.port, server.isRunning]).toEqual(["stopped", 0, false]);
    await server.start();
    expect(events).toEqual([
      ["startup", "starting", 0],
      ["listening", "running", 40_000],
    ]);
    expect([server.isRunning, String(server.address)]).toEqual([true, "test:40000"]);
  });

  test("serves a client that came before it heard that it listens, as in a cluster's worker", async () => {
    const { runtime, server } = idle();
    const early = comeEarly(runtime);
    await server.start();
    await memoryPeer(runtime, await early).login({ password: PASSWORD });
    expect(server.connectionCount).toBe(1);
  });

  test("that is stopped turns away a client that came before it heard that it listens", async () => {
    const { runtime, server } = idle();
    const early = comeEarly(runtime);
    const starting = outcome(server.start());
    const peer = memoryPeer(runtime, await early);
    await server.stop();
    await runtime.advance(1);
    const failure = await peer.next(FrameType.AUTH_FAILURE);
    expect(failure.payload).toMatchObject({ code: ErrorCode.SERVER_STOPPING });
    expect(starting.error).toMatchObject({ code: ErrorCode.INVALID_STATE });
  });

  test("is over for a client that comes while the server stops: it is turned away", async () => {
    const { runtime, server } = idle();
    const listen = runtime.listen.bind(runtime);
    let accept: ((stream: ByteStream) => void) | undefined;
    runtime.listen = (target, events) => {
      accept = events.accepted;
      return listen(target, events);
    };
    await server.start();
    const rejections: number[] = [];
    server.onClientRejected(({ code }) => rejections.push(code));
    const hook = gate();
    server.onShutdown(() => hook.promise);
    const stopping = server.stop();
    const [theirs, ours] = runtime.pair();
    accept?.(ours);
    expect(await memoryPeer(runtime, theirs).over).toBe(String(ErrorCode.CONNECTION_RESET));
    expect(rejections).toEqual([ErrorCode.SERVER_STOPPING]);
    hook.open();
    await runtime.advance(10_000);
    await stopping;
  });

  test("asked twice starts once", async () => {
    const { server } = idle();
    let startups = 0;
    server.onStartup(() => {
      startups += 1;
    });
    await Promise.all([server.start(), server.start()]);
    await server.start();
    expect(startups).toBe(1);
  });

  test("rejects with the error of a startup hook, and can be tried again", async () => {
    const { server } = idle();
    const remove = server.onStartup(() => {
      throw new Error("no database");
    });
    await expect(server.start()).rejects.toThrow("no database");
    expect(server.state).toBe("stopped");
    remove();
    await server.start();
    expect(server.isRunning).toBe(true);
  });

  test("that fails after it was stopped leaves the next one alone", async () => {
    const { runtime, server } = idle();
    const [first, second] = [gate(), gate()];
    const gates = [first, second];
    server.onStartup(async () => {
      const mine = gates.shift();
      await mine?.promise;
      if (mine === first) throw new Error("too late");
    });
    const failing = outcome(server.start());
    await runtime.settle();
    await server.stop();
    const starting = outcome(server.start());
    await runtime.settle();
    first.open();
    await runtime.settle();
    expect([failing.state, starting.state, server.state]).toEqual(["rejected", "pending", "starting"]);
    second.open();
    await runtime.settle();
    expect([starting.state, server.state]).toEqual(["resolved", "running"]);
  });

  test("rejects with ADDRESS_IN_USE, and can be tried again", async () => {
    const { runtime, server } = idle({ port: 99 });
    const other = new Server({ password: PASSWORD, host: "test", port: 99, scramIterations: 4096 }, runtime);
    await other.start();
    await expect(server.start()).rejects.toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
    await other.stop();
    await server.start();
    expect(server.isRunning).toBe(true);
  });

  test.each(["fails", "is stopped"])("that %s leaves the server's folders alone", async (how) => {
    const { runtime, server } = idle({ port: 99 });
    const paths = lookedUp(runtime);
    const hook = gate();
    server.onStartup(() => hook.promise);
    const starting = outcome(server.start());
    if (how === "fails") {
      runtime.listen = () => Promise.reject(new ConduitError(ErrorCode.ADDRESS_IN_USE, "In use"));
    } else {
      await server.stop();
    }
    hook.open();
    await runtime.settle();
    expect([starting.state, server.state]).toEqual(["rejected", "stopped"]);
    server.files("box", { dir: "/box", upload: true });
    await runtime.settle();
    expect(paths).toEqual([]);
  });

  test("is refused while the server stops", async () => {
    const { runtime, server } = await withClients(1);
    server.rpc("wait", () => gate().promise);
    server.onShutdown(() => gate().promise);
    const stopping = server.stop();
    await expect(server.start()).rejects.toMatchObject({
      code: ErrorCode.INVALID_STATE,
      message: "Cannot start a server that is stopping: await stop() first",
    });
    await runtime.advance(20_000);
    await stopping;
  });

  test("rejects when the server is stopped meanwhile, and nothing listens", async () => {
    const { runtime, server } = idle({ port: 99 });
    const hook = gate();
    server.onStartup(() => hook.promise);
    const starting = outcome(server.start());
    await runtime.settle();
    await server.stop();
    hook.open();
    await runtime.settle();
    expect(starting.error).toMatchObject({ code: ErrorCode.INVALID_STATE });
    await expect(rawDial(runtime, 99)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    expect(server.state).toBe("stopped");
  });

  test("a stop from a listening hook closes the listener", async () => {
    const { runtime, server } = idle({ port: 99 });
    server.onListening(() => void server.stop());
    await server.start().catch(() => undefined);
    await runtime.settle();
    expect(server.state).toBe("stopped");
    await expect(rawDial(runtime, 99)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("can follow a stop: the server works as before", async () => {
    const { runtime, server, port } = await withClients(1);
    await server.stop();
    await server.start();
    await rawClient(runtime, port);
    expect([server.connectionCount, server.stats.loggedIn]).toEqual([1, 2]);
  });
});

describe("stop", () => {
  test("of a server that does not run does nothing", async () => {
    const { server } = idle();
    await server.stop();
    expect(server.state).toBe("stopped");
  });

  test("settles with clients connected: they are told SERVER_STOPPING and may come back", async () => {
    const { runtime, server, peers, port } = await withClients(2);
    await server.stop();
    for (const peer of peers) {
      expect((await peer.next(FrameType.CLOSE)).payload).toEqual({
        reason: "The server is stopping",
        code: ErrorCode.SERVER_STOPPING,
        reconnect: true,
        started: [],
      });
      expect(peer.ended).toBeNull();
    }
    expect([server.connectionCount, runtime.now(), runtime.timers.keepingAlive]).toEqual([0, 0, 0]);
    await expect(rawDial(runtime, port)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("runs the shutdown hooks first, while the connections still work", async () => {
    const { server, peers } = await withClients(1);
    server.onShutdown(() => server.broadcast("bye", { when: "now" }));
    await server.stop();
    expect(await peers[0]?.receivedTypes()).toEqual(["MESSAGE", "CLOSE"]);
  });

  test("lets running handlers finish", async () => {
    const { runtime, server, peers } = await withClients(1);
    const done = gate<string>();
    server.rpc("wait", () => done.promise);
    peers[0]?.call("wait");
    await runtime.settle();
    const stopping = outcome(server.stop());
    await runtime.advance(4000);
    expect(stopping.state).toBe("pending");
    done.open("finished");
    await runtime.settle();
    expect(stopping.state).toBe("resolved");
    expect((await peers[0]?.received())?.[0]).toMatchObject({ payload: { result: "finished" } });
  });

  test("aborts handlers that are not done after drainMs, and settles", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 1000 });
    let signal: AbortSignal | null = null;
    server.rpc("wait", (_params, context) => {
      signal = context.signal;
      return gate().promise;
    });
    peers[0]?.call("wait");
    await runtime.settle();
    const stopping = outcome(server.stop());
    await runtime.advance(990);
    expect([stopping.state, (signal as AbortSignal | null)?.aborted]).toEqual(["pending", false]);
    await runtime.advance(20);
    expect([stopping.state, (signal as AbortSignal | null)?.aborted]).toEqual(["resolved", true]);
  });

  test("cuts off clients that do not close, after closeTimeoutMs", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 100, closeTimeoutMs: 500 });
    peers[0]?.pause();
    const stopping = outcome(server.stop());
    await runtime.advance(700);
    expect([stopping.state, server.connectionCount]).toEqual(["resolved", 0]);
  });

  test("called again with less time hurries", async () => {
    const { runtime, server, peers } = await withClients(1);
    server.rpc("wait", () => gate().promise);
    peers[0]?.call("wait");
    await runtime.settle();
    const first = outcome(server.stop({ drainMs: 60_000 }));
    await runtime.settle();
    void server.stop();
    await runtime.advance(100);
    expect(first.state).toBe("pending");
    void server.stop({ drainMs: 0 });
    await runtime.advance(20);
    expect(first.state).toBe("resolved");
  });

  test("called again with less time hurries disconnect hooks as well", async () => {
    const { runtime, server } = await withClients(1, { drainMs: 60_000 });
    server.onClientDisconnect(() => gate().promise);
    const first = outcome(server.stop());
    await runtime.advance(100);
    expect([first.state, server.connectionCount]).toEqual(["pending", 0]);
    void server.stop({ drainMs: 0 });
    await runtime.advance(20);
    expect(first.state).toBe("resolved");
  });

  test("leaves the server where it was before it listened", async () => {
    const { server } = idle({ port: 0 });
    await server.start();
    expect(server.address.port).toBe(40_000);
    await server.stop();
    expect([server.address.port, server.state]).toEqual([0, "stopped"]);
  });

  test("does not wait longer than drainMs for shutdown hooks, nor for disconnect hooks", async () => {
    const { runtime, server } = await withClients(1, { drainMs: 1000 });
    server.onShutdown(() => gate().promise);
    server.onClientDisconnect(() => gate().promise);
    const stopping = outcome(server.stop());
    await runtime.advance(2100);
    expect(stopping.state).toBe("resolved");
  });

  test("waits for disconnect hooks that are quick enough", async () => {
    const { runtime, server } = await withClients(1);
    const hook = gate();
    server.onClientDisconnect(() => hook.promise);
    const stopping = outcome(server.stop());
    await runtime.settle();
    expect(stopping.state).toBe("pending");
    hook.open();
    await runtime.settle();
    expect(stopping.state).toBe("resolved");
  });

  test("refuses clients that are logging in, too", async () => {
    const { runtime, server, port } = await withClients(0);
    const peer = await rawDial(runtime, port);
    await runtime.settle();
    await server.stop();
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.SERVER_STOPPING });
  });

  test("from a handler does not wait forever for that handler", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 1000 });
    server.rpc("shutdown", () => server.stop());
    peers[0]?.call("shutdown");
    await runtime.advance(1100);
    expect(server.state).toBe("stopped");
  });

  test("is called by `await using` at the end of its block", async () => {
    const { server } = idle();
    {
      await using owned = server;
      await owned.start();
    }
    expect(server.state).toBe("stopped");
  });
});

describe("run", () => {
  test("runs until the server is stopped", async () => {
    const { runtime, server } = idle();
    const running = outcome(server.run());
    await runtime.settle();
    expect([running.state, server.isRunning, runtime.terminators]).toEqual(["pending", true, 1]);
    await server.stop();
    await runtime.settle();
    expect([running.state, runtime.terminators]).toEqual(["resolved", 0]);
  });

  test("stops gracefully on a signal, and at once on the second", async () => {
    const { runtime, server } = idle({ drainMs: 60_000, port: 99 });
    server.rpc("wait", () => gate().promise);
    const running = outcome(server.run());
    await runtime.settle();
    const peer = await rawClient(runtime, 99);
    peer.call("wait");
    await runtime.settle();
    runtime.terminate("SIGINT");
    await runtime.advance(1000);
    expect(running.state).toBe("pending");
    runtime.terminate("SIGTERM");
    await runtime.advance(20);
    expect(running.state).toBe("resolved");
  });

  test("calls the stop of a subclass, and reports its error", async () => {
    const runtime = fakeRuntime();
    class Cautious extends Server {
      override async stop(): Promise<void> {
        await super.stop();
        throw new Error("the database is busy");
      }
    }
    const server = new Cautious({ password: PASSWORD, host: "test", scramIterations: 4096 }, runtime);
    const reports: unknown[] = [];
    server.onError((error, { stage }) => void reports.push([error.message, stage]));
    const running = outcome(server.run());
    await runtime.settle();
    runtime.terminate("SIGTERM");
    await runtime.settle();
    expect([running.state, server.state, reports]).toEqual(["resolved", "stopped", [["the database is busy", "hook"]]]);
  });

  test("leaves signals alone with handleSignals off", async () => {
    const { runtime, server } = idle({ handleSignals: false });
    void server.run();
    await runtime.settle();
    expect(runtime.terminators).toBe(0);
    await server.stop();
  });

  test("stops when its own AbortSignal fires, also if that was before", async () => {
    for (const early of [true, false]) {
      const { runtime, server } = idle();
      const abort = new AbortController();
      if (early) abort.abort();
      const running = outcome(server.run({ signal: abort.signal }));
      await runtime.settle();
      abort.abort();
      await runtime.settle();
      expect([running.state, server.state]).toEqual(["resolved", "stopped"]);
    }
  });

  test("removes its listener from its AbortSignal", async () => {
    const { runtime, server } = idle();
    const abort = new AbortController();
    const running = outcome(server.run({ signal: abort.signal }));
    await runtime.settle();
    await server.stop();
    await runtime.settle();
    expect(running.state).toBe("resolved");
    await server.start();
    abort.abort();
    await runtime.settle();
    expect(server.isRunning).toBe(true);
  });

  test("rejects when the start fails, and removes its listeners", async () => {
    const { runtime, server } = idle();
    server.onStartup(() => {
      throw new Error("no");
    });
    await expect(server.run()).rejects.toThrow("no");
    expect(runtime.terminators).toBe(0);
  });
});

describe("accept", () => {
  test("reports a connection that failed before it was ready", async () => {
    const { runtime, errors, port } = await withClients(0);
    runtime.failAccept({ port }, new ConduitError(ErrorCode.TLS_ERROR, "TLS handshake failed"));
    expect(errors).toMatchObject([{ stage: "accept", message: "TLS handshake failed" }]);
  });
});
