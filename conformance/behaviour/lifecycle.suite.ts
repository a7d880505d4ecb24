import { type CloseReason, ErrorCode } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** A server's life cycle. */
export function describeLifecycle(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`the life cycle of a server on ${subject.name}`, PATIENT, () => {
    describe("start and stop", () => {
      test(
        "disconnect() and stop() leave no timer behind, after calls, large data and a wait to reconnect",
        staged(async (stage) => {
          const { runtime, pending } = countedTimers(subject.runtime);
          const server = await stage.listen({}, runtime);
          server.rpc("echo", (params) => params);
          const client = await stage.join(server, {}, runtime);
          await client.call("echo", { data: new Uint8Array(500_000) }, { timeoutMs: 60_000 });
          await client.disconnect();
          await server.stop();
          expect(pending()).toBe(0);

          await server.start();
          const reconnect = { enabled: true, delayMs: 60_000, maxDelayMs: 60_000 };
          const returning = await stage.join(server, { reconnect }, runtime);
          await server.stop();
          await until(() => returning.state === "closed");
          expect(pending()).toBeGreaterThan(0);
          await returning.disconnect();
          expect(pending()).toBe(0);
        }),
      );

      test(
        "state, isRunning and address follow a server from start to stop; the address has the real port",
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
        "start() joins a start under way, does nothing on a running server, and is INVALID_STATE on one that stops",
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
        "stop() on a server that is stopped or stopping changes nothing",
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
        "a stopped server starts again, with its handlers, on the port of its options",
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
        "a port in use is ADDRESS_IN_USE, and the server can start once it is free",
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
        "no socket listens once stop() has resolved",
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
        "stop() during start() ends it, and the server can start again",
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
        "start(), stop(), start() without waiting leaves one listener, and none after stop()",
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
        "an AbortSignal ends run() gracefully",
        staged(async (stage) => {
          const server = stage.server({ handleSignals: false });
          const shutdown = new EventLog<string>();
          server.onShutdown(() => shutdown.add("shutdown"));
          const controller = new AbortController();
          const running = server.run({ signal: controller.signal });
          await until(() => server.isRunning);
          const client = await stage.join(server);
          const left = new EventLog<CloseReason>();
          client.onDisconnect((_client, reason) => left.add(reason));
          controller.abort();
          await running;
          expect(shutdown.all).toEqual(["shutdown"]);
          expect(await left.next()).toMatchObject({ code: ErrorCode.SERVER_STOPPING, reconnect: true });
        }),
      );

      test(
        "a signal that fired before, or fires while the server starts, ends run() without an error",
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
        "run() rejects with the error of start()",
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
  });
}

/** Wraps a runtime to count its pending timers. */
function countedTimers(base: Runtime): { readonly runtime: Runtime; pending(): number } {
  const timers = new Set<unknown>();
  const runtime: Runtime = {
    ...base,
    setTimer: (task, delayMs, keepAlive) => {
      const timer = base.setTimer(
        () => {
          timers.delete(timer);
          task();
        },
        delayMs,
        keepAlive,
      );
      timers.add(timer);
      return timer;
    },
    clearTimer: (timer) => {
      timers.delete(timer);
      base.clearTimer(timer);
    },
  };
  return { runtime, pending: () => timers.size };
}
