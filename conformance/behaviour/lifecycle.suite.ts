import {
  type CloseReason,
  type Connection,
  Server as CoreServer,
  ErrorCode,
  type ErrorContext,
} from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { failureOf, gate, Heard, until } from "./heard.ts";
import { call, Type } from "./raw-peer.ts";
import { connectionOf, stagedOn } from "./stage.ts";
import { SteppedClock } from "./stepped-clock.ts";
import type { Subject } from "./subject.ts";

/** One turn of the event loop: what could have happened at once has happened. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A server's life: start, run, stop, drain, and the hooks along the way. */
export function describeLifecycle(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`a server's life on ${subject.name}`, () => {
    describe("start and stop", () => {
      test(
        "a server says where it is: state, isRunning, address with the real port",
        staged(async (stage) => {
          const server = stage.server();
          expect([server.state, server.isRunning]).toEqual(["stopped", false]);
          expect(server.address).toEqual({ host: "127.0.0.1", port: 0, path: null });
          const starting = server.start();
          expect([server.state, server.isRunning]).toEqual(["starting", false]);
          await starting;
          expect([server.state, server.isRunning]).toEqual(["running", true]);
          expect(server.address).toEqual({ host: "127.0.0.1", port: expect.any(Number), path: null });
          expect(server.address.port).toBeGreaterThan(0);
          const stopping = server.stop();
          expect([server.state, server.isRunning]).toEqual(["stopping", false]);
          await stopping;
          expect([server.state, server.isRunning]).toEqual(["stopped", false]);
        }),
      );

      test(
        "starting a server that starts or runs joins in; starting one that stops is INVALID_STATE",
        staged(async (stage) => {
          const server = stage.server();
          await Promise.all([server.start(), server.start()]);
          const { port } = server.address;
          await server.start();
          expect(server.address.port).toBe(port);
          const stopping = server.stop();
          expect((await failureOf(server.start())).code).toBe(ErrorCode.INVALID_STATE);
          await stopping;
        }),
      );

      test(
        "stopping a server that is stopped, or stopping, changes nothing",
        staged(async (stage) => {
          const server = stage.server();
          await server.stop();
          await server.start();
          await Promise.all([server.stop(), server.stop(), server.stop()]);
          await server.stop();
          expect(server.state).toBe("stopped");
        }),
      );

      test(
        "a stopped server starts again, with its handlers, on the same port if it is asked for",
        staged(async (stage) => {
          const first = await stage.listen();
          const { port } = first.address;
          await first.stop();
          const server = stage.server({ port });
          server.rpc("ping", () => "pong");
          for (let round = 0; round < 3; round++) {
            await server.start();
            const client = await stage.join(server);
            expect(await client.call("ping")).toBe("pong");
            await server.stop();
            expect(server.connectionCount).toBe(0);
          }
        }),
      );

      test(
        "a port that is taken is ADDRESS_IN_USE, and the server can start when it is free",
        staged(async (stage) => {
          const first = await stage.listen();
          const second = stage.server({ port: first.address.port });
          expect((await failureOf(second.start())).code).toBe(ErrorCode.ADDRESS_IN_USE);
          expect(second.state).toBe("stopped");
          await first.stop();
          await second.start();
          expect(second.isRunning).toBe(true);
        }),
      );

      test(
        "nothing listens any more once stop() has resolved",
        staged(async (stage) => {
          const server = await stage.listen();
          const { port } = server.address;
          await server.stop();
          const client = stage.client({ address: { port } });
          expect((await failureOf(client.connect())).code).toBe(ErrorCode.CONNECTION_REFUSED);
        }),
      );

      test(
        "await using stops the server, and disconnects the client, at the end of the block",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          await client[Symbol.asyncDispose]();
          expect(client.isConnected).toBe(false);
          const other = await stage.join(server);
          await server[Symbol.asyncDispose]();
          expect(server.state).toBe("stopped");
          expect(other.isConnected).toBe(false);
        }),
      );

      test(
        "stop() while it starts ends it, and it can start again",
        staged(async (stage) => {
          const server = stage.server();
          const hook = gate();
          const remove = server.onStartup(() => hook.promise);
          const starting = failureOf(server.start());
          const stopping = server.stop();
          hook.open();
          expect((await starting).code).toBe(ErrorCode.INVALID_STATE);
          await stopping;
          expect(server.state).toBe("stopped");
          remove();
          await server.start();
          expect((await stage.join(server)).isConnected).toBe(true);
        }),
      );

      test(
        "a start() right behind a stop() in the midst of another start() leaves one listener, and none after stop()",
        staged(async (stage) => {
          let listening = 0;
          const runtime: Runtime = {
            ...subject.runtime,
            listen: async (target, events) => {
              const listener = await subject.runtime.listen(target, events);
              listening++;
              return {
                address: listener.address,
                close: () => {
                  listening--;
                  return listener.close();
                },
              };
            },
          };
          const server = stage.server({}, runtime);
          const first = failureOf(server.start());
          await server.stop();
          await server.start();
          expect((await first).code).toBe(ErrorCode.INVALID_STATE);
          expect([server.isRunning, listening]).toEqual([true, 1]);
          await server.stop();
          expect(listening).toBe(0);
        }),
      );
    });

    describe("run", () => {
      test(
        "run() resolves when stop() has ended the server",
        staged(async (stage) => {
          const server = stage.server({ handleSignals: false });
          const running = server.run();
          await until(() => server.isRunning);
          await server.stop();
          await running;
          expect(server.state).toBe("stopped");
        }),
      );

      test(
        "an AbortSignal ends run() in order",
        staged(async (stage) => {
          const server = stage.server({ handleSignals: false });
          const shutdown = new Heard<string>();
          server.onShutdown(() => shutdown.add("shutdown"));
          const controller = new AbortController();
          const running = server.run({ signal: controller.signal });
          await until(() => server.isRunning);
          const client = await stage.join(server);
          const left = new Heard<CloseReason>();
          client.onDisconnect((_client, reason) => left.add(reason));
          controller.abort();
          await running;
          expect(shutdown.all).toEqual(["shutdown"]);
          expect(await left.next()).toMatchObject({ code: ErrorCode.SERVER_STOPPING, reconnect: true });
        }),
      );

      test(
        "a signal that has fired before, or fires while the server starts, ends run() without an error",
        staged(async (stage) => {
          const server = stage.server({ handleSignals: false });
          await server.run({ signal: AbortSignal.abort() });
          expect(server.state).toBe("stopped");

          const hook = gate();
          server.onStartup(() => hook.promise);
          const controller = new AbortController();
          const running = server.run({ signal: controller.signal });
          await turn();
          controller.abort();
          hook.open();
          await running;
          expect(server.state).toBe("stopped");
        }),
      );

      test(
        "run() rejects with what start() rejects with",
        staged(async (stage) => {
          const taken = await stage.listen();
          const server = stage.server({ port: taken.address.port, handleSignals: false });
          expect((await failureOf(server.run())).code).toBe(ErrorCode.ADDRESS_IN_USE);
        }),
      );

      test(
        "SIGINT and SIGTERM end run() gracefully, a second one without waiting, and the listener is removed",
        staged(async (stage) => {
          let terminate: ((signal: string) => void) | null = null;
          const server = stage.server(
            {},
            {
              ...subject.runtime,
              onTerminate: (task) => {
                terminate = task;
                return () => {
                  terminate = null;
                };
              },
            },
          );
          const started = gate();
          server.rpc("hang", () => {
            started.open();
            return new Promise(() => {});
          });
          const running = server.run();
          await until(() => server.isRunning);
          const client = await stage.join(server);
          const result = failureOf(client.call("hang"));
          await started.promise;
          (terminate as ((signal: string) => void) | null)?.("SIGTERM");
          expect(server.state).toBe("stopping");
          await turn();
          expect(client.isConnected).toBe(true);
          (terminate as ((signal: string) => void) | null)?.("SIGTERM");
          await running;
          expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect(terminate).toBeNull();
        }),
      );

      test(
        "handleSignals: false leaves SIGINT and SIGTERM alone",
        staged(async (stage) => {
          let asked = false;
          const server = stage.server(
            { handleSignals: false },
            {
              ...subject.runtime,
              onTerminate: () => {
                asked = true;
                return () => {};
              },
            },
          );
          const running = server.run();
          await until(() => server.isRunning);
          await server.stop();
          await running;
          expect(asked).toBe(false);
        }),
      );
    });

    describe("drain", () => {
      test(
        "a running handler finishes while the server stops, and its answer arrives",
        staged(async (stage) => {
          const server = await stage.listen();
          const started = gate();
          const go = gate();
          server.rpc("slow", async () => {
            started.open();
            await go.promise;
            return "finished";
          });
          const client = await stage.join(server);
          const result = client.call("slow");
          await started.promise;
          const stopping = server.stop();
          await turn();
          go.open();
          expect(await result).toBe("finished");
          await stopping;
        }),
      );

      test(
        "a message handler that runs finishes too, and calls that waited for their turn are answered",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 1 });
          const started = gate();
          const go = gate();
          const finished = new Heard<string>();
          server.on("slow", async () => {
            started.open();
            await go.promise;
            finished.add("message");
          });
          server.rpc("next", () => "answered");
          const client = await stage.join(server);
          client.send("slow");
          const waiting = client.call("next");
          await started.promise;
          await until(() => connectionOf(server, client).stats.messagesReceived === 2);
          const stopping = server.stop();
          await turn();
          go.open();
          expect(await waiting).toBe("answered");
          await stopping;
          expect(finished.all).toEqual(["message"]);
        }),
      );

      test(
        "while it drains, new calls and requests get SERVER_STOPPING",
        staged(async (stage) => {
          const server = await stage.listen();
          const started = gate();
          const go = gate();
          server.rpc("slow", async () => {
            started.open();
            await go.promise;
          });
          server.rpc("ping", () => "pong");
          server.on("ping", () => "pong");
          const client = await stage.join(server);
          const slow = client.call("slow");
          await started.promise;
          const stopping = server.stop();
          await turn();
          expect((await failureOf(client.call("ping"))).code).toBe(ErrorCode.SERVER_STOPPING);
          expect((await failureOf(client.request("ping"))).code).toBe(ErrorCode.SERVER_STOPPING);
          go.open();
          await Promise.all([slow, stopping]);
        }),
      );

      test(
        "a handler that runs while the server stops may still call the client and get its answer",
        staged(async (stage) => {
          const server = await stage.listen();
          const started = gate();
          const go = gate();
          server.rpc("slow", async (_params, { client }) => {
            started.open();
            await go.promise;
            return client.call("ask");
          });
          const client = await stage.join(server);
          client.rpc("ask", () => "told");
          const slow = client.call("slow");
          await started.promise;
          const stopping = server.stop();
          await turn();
          go.open();
          expect(await slow).toBe("told");
          await stopping;
        }),
      );

      test(
        "what is not done after drainMs is aborted: its signal fires, its caller gets CONNECTION_CLOSED",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ drainMs: 3000 }, clock.runtime);
          const started = gate();
          const aborted = new Heard<unknown>();
          server.rpc("hang", (_params, { signal }) => {
            signal.addEventListener("abort", () => aborted.add((signal.reason as { code: number }).code));
            started.open();
            return new Promise(() => {});
          });
          const client = await stage.join(server);
          const result = failureOf(client.call("hang"));
          await started.promise;
          const stopping = server.stop();
          clock.advance(2900);
          await turn();
          expect(aborted.all).toEqual([]);
          expect(client.isConnected).toBe(true);
          clock.advance(200);
          await stopping;
          expect(await aborted.next()).toBe(ErrorCode.CONNECTION_CLOSED);
          expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
        }),
      );

      test(
        "drainMs: 0 waits for no handler",
        staged(async (stage) => {
          const server = await stage.listen();
          const started = gate();
          server.rpc("hang", () => {
            started.open();
            return new Promise(() => {});
          });
          const client = await stage.join(server);
          const result = failureOf(client.call("hang"));
          await started.promise;
          await server.stop({ drainMs: 0 });
          expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
        }),
      );

      test(
        "a second stop() that asks for less shortens the drain",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({}, clock.runtime);
          const started = gate();
          server.rpc("hang", () => {
            started.open();
            return new Promise(() => {});
          });
          const client = await stage.join(server);
          const result = failureOf(client.call("hang"));
          await started.promise;
          const stopping = server.stop({ drainMs: 60_000 });
          clock.advance(1000);
          void server.stop({ drainMs: 90_000 });
          void server.stop({ drainMs: 500 });
          clock.advance(600);
          await stopping;
          expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
        }),
      );

      test(
        "stop() settles while a client that never answers is connected",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ drainMs: 3000, closeTimeoutMs: 2000 }, clock.runtime);
          const peer = await stage.rawLoggedIn(server);
          // It reads nothing, and what is sent to it fills every buffer on the way.
          peer.pause();
          while (server.connections[0]?.send("fill", new Uint8Array(500_000)) === true) await turn();
          const stopping = server.stop();
          let settled = false;
          void stopping.then(() => {
            settled = true;
          });
          await turn();
          clock.advance(1900);
          await turn();
          expect(settled).toBe(false);
          clock.advance(200);
          await stopping;
          expect(server.connectionCount).toBe(0);
        }),
      );

      test(
        "stop() settles while somebody is connected who never logs in",
        staged(async (stage) => {
          const server = await stage.listen();
          const stranger = await stage.raw(server);
          await until(() => server.stats.accepted === 1);
          const stopping = server.stop();
          expect(await stranger.next()).toMatchObject({
            type: Type.AUTH_FAILURE,
            payload: { code: ErrorCode.SERVER_STOPPING },
          });
          await stopping;
          await stranger.over;
        }),
      );

      test(
        "stop() settles when a handler itself awaits it",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ drainMs: 1000 }, clock.runtime);
          const called = gate();
          server.rpc("shutdown", async () => {
            const stopping = server.stop();
            called.open();
            await stopping;
          });
          const client = await stage.join(server);
          const result = failureOf(client.call("shutdown"));
          await called.promise;
          await turn();
          clock.advance(1100);
          expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
          await server.stop();
        }),
      );

      test(
        "stop() settles while connect hooks hang, and while disconnect hooks hang",
        staged(async (stage) => {
          for (const hook of ["onClientConnect", "onClientDisconnect"] as const) {
            const clock = new SteppedClock(subject.runtime);
            const server = await stage.listen({ drainMs: 1000 }, clock.runtime);
            const started = gate();
            server[hook](() => {
              started.open();
              return new Promise(() => {});
            });
            const client = await stage.join(server);
            client.send("waits");
            if (hook === "onClientConnect") await started.promise;
            const stopping = server.stop();
            await turn();
            clock.advance(1100);
            await started.promise;
            for (let n = 0; n < 5; n++) await turn();
            clock.advance(1100);
            await stopping;
            expect(server.state).toBe("stopped");
          }
        }),
      );

      test(
        "clients learn that the server is stopping, and that they may come back",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          const left = new Heard<CloseReason>();
          client.onDisconnect((_client, reason) => left.add(reason));
          await server.stop();
          expect(await left.next()).toEqual({
            code: ErrorCode.SERVER_STOPPING,
            message: "The server is stopping",
            byPeer: true,
            reconnect: true,
          });
        }),
      );

      test(
        "a login under way when the server stops is refused with SERVER_STOPPING",
        staged(async (stage) => {
          const server = await stage.listen();
          const hold = gate();
          server.onShutdown(() => hold.promise);
          const clients = Array.from({ length: 5 }, () => stage.client(server));
          const results = clients.map((client) => client.connect().catch((error: { code: number }) => error.code));
          await until(() => server.stats.accepted === 5);
          const stopping = server.stop();
          const codes = await Promise.all(results);
          hold.open();
          await stopping;
          for (const code of codes) expect([undefined, ErrorCode.SERVER_STOPPING]).toContain(code);
          expect(server.connectionCount).toBe(0);
        }),
      );
    });

    describe("hooks", () => {
      test(
        "startup hooks run in order, awaited, before the server listens",
        staged(async (stage) => {
          const server = stage.server();
          const log: string[] = [];
          server.onStartup(async (srv) => {
            await turn();
            log.push(`first ${srv.config.name} ${srv.state}`);
          });
          server.onStartup(() => void log.push("second"));
          server.onStartup(() => void log.push("removed"))();
          await server.start();
          expect(log).toEqual(["first conduit_server starting", "second"]);
        }),
      );

      test(
        "a startup hook that fails fails start(), nothing listens, and the next start() tries again",
        staged(async (stage) => {
          const server = stage.server();
          const log: string[] = [];
          let broken = true;
          server.onStartup(async () => {
            log.push("first");
            if (broken) throw new Error("no database");
          });
          server.onStartup(() => void log.push("second"));
          await expect(server.start()).rejects.toThrow("no database");
          expect(log).toEqual(["first"]);
          expect([server.state, server.address.port]).toEqual(["stopped", 0]);
          broken = false;
          await server.start();
          expect(server.isRunning).toBe(true);
        }),
      );

      test(
        "connections are still usable inside the shutdown hooks",
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("ping", () => "pong");
          const client = await stage.join(server);
          const heard = new Heard<unknown>();
          client.on("goodbye", heard.add);
          client.rpc("save", () => "saved");
          const answers = new Heard<unknown>();
          server.onShutdown(async (srv) => {
            expect(srv.broadcast("goodbye", "soon")).toBe(1);
            answers.add(await srv.connections[0]?.call("save"));
            answers.add(await client.call("ping"));
          });
          await server.stop();
          expect(answers.all).toEqual(["saved", "pong"]);
          expect(heard.all).toEqual(["soon"]);
        }),
      );

      test(
        "shutdown hooks run in order, awaited; one that fails is reported and stops nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          const log: string[] = [];
          const errors = new Heard<ErrorContext<Connection> & { text: string }>();
          server.onError((error, context) => errors.add({ ...context, text: error.message }));
          server.onShutdown(async () => {
            await turn();
            log.push("first");
            throw new Error("broken");
          });
          server.onShutdown(() => void log.push("second"));
          server.onShutdown(() => void log.push("removed"))();
          await server.stop();
          expect(log).toEqual(["first", "second"]);
          expect(errors.all).toEqual([{ stage: "hook", name: "onShutdown", text: "broken" }]);
        }),
      );

      test(
        "a shutdown hook that hangs costs no more than drainMs",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ drainMs: 2000 }, clock.runtime);
          server.onShutdown(() => new Promise(() => {}));
          const client = await stage.join(server);
          const stopping = server.stop();
          await turn();
          expect(client.isConnected).toBe(true);
          clock.advance(2100);
          await stopping;
          expect(client.isConnected).toBe(false);
        }),
      );

      test(
        "connect and disconnect hooks run in order, awaited, and can be removed",
        staged(async (stage) => {
          const server = await stage.listen();
          const log = new Heard<string>();
          const removed = server.onClientConnect(() => log.add("removed"));
          server.onClientConnect(async ({ info }) => {
            await turn();
            log.add(`connect 1 ${info.name}`);
          });
          server.onClientConnect(() => log.add("connect 2"));
          server.onClientDisconnect(async (_connection, { message }) => {
            await turn();
            log.add(`disconnect 1: ${message}`);
          });
          server.onClientDisconnect(() => log.add("disconnect 2"));
          server.onClientDisconnect(() => log.add("removed"))();
          removed();
          removed();
          const client = await stage.join(server, { name: "Ada" });
          await client.disconnect("done");
          expect(await log.count(4)).toEqual(["connect 1 Ada", "connect 2", "disconnect 1: done", "disconnect 2"]);
        }),
      );

      test(
        "hooks that fail are reported to onError with their name and client, and stop nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<unknown>();
          server.onError((error, { stage, name, client }) =>
            errors.add([error.message, stage, name, client?.info.name]),
          );
          server.onClientConnect(() => {
            throw new Error("connect");
          });
          server.onClientDisconnect(async () => {
            throw new Error("disconnect");
          });
          server.onClientRejected(() => {
            throw new Error("rejected");
          });
          server.rpc("ping", () => "pong");
          const client = await stage.join(server, { name: "Ada" });
          expect(await client.call("ping")).toBe("pong");
          await failureOf(stage.client(server, { password: "wrong" }).connect());
          await client.disconnect();
          await errors.count(3);
          expect(errors.all).toContainEqual(["connect", "hook", "onClientConnect", "Ada"]);
          expect(errors.all).toContainEqual(["disconnect", "hook", "onClientDisconnect", "Ada"]);
          expect(errors.all).toContainEqual(["rejected", "hook", "onClientRejected", undefined]);
        }),
      );

      test(
        "an onError hook can be removed, and one that fails harms nothing: the runtime is warned",
        staged(async (stage) => {
          const warnings = new Heard<string>();
          const runtime = { ...subject.runtime, warn: (error: Error) => warnings.add(error.message) };
          const server = new CoreServer(stage.serverOptions({}), runtime);
          stage.defer(() => server.stop({ drainMs: 0 }));
          const removed = new Heard<unknown>();
          server.onError(removed.add)();
          const remove = server.onError(() => {
            throw new Error("onError itself");
          });
          server.rpc("fail", () => {
            throw new Error("handler");
          });
          await server.start();
          const client = await stage.join(server);
          await failureOf(client.call("fail"));
          expect(warnings.all).toEqual(["onError itself"]);
          remove();
          await failureOf(client.call("fail"));
          expect(warnings.all).toEqual(["onError itself", "handler"]);
          expect(removed.all).toEqual([]);
        }),
      );

      test(
        "a slow connect hook delays only its own connection",
        staged(async (stage) => {
          const server = await stage.listen();
          const slow = gate();
          server.onClientConnect(({ info }) => (info.name === "slow" ? slow.promise : undefined));
          server.rpc("ping", () => "pong");
          const first = await stage.join(server, { name: "slow" });
          const waiting = first.call("ping");
          const second = await stage.join(server, { name: "fast" });
          expect(await second.call("ping")).toBe("pong");
          expect(connectionOf(server, first).state).toBe("connected");
          expect(server.broadcast("news")).toBe(2);
          slow.open();
          expect(await waiting).toBe("pong");
          expect(connectionOf(server, first).state).toBe("active");
        }),
      );

      test(
        "a connection's messages wait until its connect hooks are done, then start in order",
        staged(async (stage) => {
          const server = await stage.listen();
          const hook = gate();
          const log = new Heard<unknown>();
          server.onClientConnect(async () => {
            await hook.promise;
            log.add("hook");
          });
          server.on("n", (_client, data) => log.add(data));
          const client = await stage.join(server);
          for (let n = 0; n < 10; n++) client.send("n", n);
          await until(() => connectionOf(server, client).stats.messagesReceived === 10);
          hook.open();
          expect(await log.count(11)).toEqual(["hook", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }),
      );

      test(
        "a welcome sent from the connect hook arrives, and a connect hook may call its client",
        staged(async (stage) => {
          const server = await stage.listen();
          const answers = new Heard<unknown>();
          server.onClientConnect(async (connection) => {
            connection.send("welcome", connection.id);
            answers.add(await connection.call("who"));
          });
          const client = stage.client(server);
          const heard = new Heard<unknown>();
          client.on("welcome", heard.add);
          client.rpc("who", () => "Ada");
          await client.connect();
          expect(await heard.next()).toBe(connectionOf(server, client).id);
          expect(await answers.next()).toBe("Ada");
        }),
      );

      test(
        "a connect hook may turn a client away with a reason",
        staged(async (stage) => {
          const server = await stage.listen();
          server.onClientConnect((connection) => connection.close("You are banned"));
          const client = stage.client(server);
          const left = new Heard<CloseReason>();
          client.onDisconnect((_client, reason) => left.add(reason));
          await client.connect();
          expect(await left.next()).toMatchObject({ message: "You are banned", byPeer: true, reconnect: false });
        }),
      );

      test(
        "connect hooks that take longer than connectionTimeoutMs end the connection with CONNECT_TIMEOUT",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ connectionTimeoutMs: 2000 }, clock.runtime);
          const hook = gate();
          server.onClientConnect(() => hook.promise);
          const left = new Heard<CloseReason>();
          server.onClientDisconnect((_connection, reason) => left.add(reason));
          const peer = await stage.rawLoggedIn(server);
          peer.write(call(1n, "any"));
          clock.advance(2100);
          await peer.over;
          hook.open();
          expect(await left.next()).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT, byPeer: false });
          expect(server.connectionCount).toBe(0);
        }),
      );

      test(
        "the disconnect hook of a connection runs after its connect hook, however slow that is",
        staged(async (stage) => {
          const server = await stage.listen();
          const hook = gate();
          const log = new Heard<string>();
          server.onClientConnect(async () => {
            log.add("connect begins");
            await hook.promise;
            log.add("connect ends");
          });
          server.onClientDisconnect(() => log.add("disconnect"));
          const client = await stage.join(server);
          await client.disconnect();
          await until(() => server.connectionCount === 0);
          hook.open();
          expect(await log.count(3)).toEqual(["connect begins", "connect ends", "disconnect"]);
        }),
      );

      test(
        "stop() waits for the disconnect hooks",
        staged(async (stage) => {
          const server = await stage.listen();
          const finished = new Heard<string>();
          server.onClientDisconnect(async () => {
            for (let n = 0; n < 5; n++) await turn();
            finished.add("left");
          });
          await stage.join(server);
          await server.stop();
          expect(finished.all).toEqual(["left"]);
        }),
      );
    });
  });
}
