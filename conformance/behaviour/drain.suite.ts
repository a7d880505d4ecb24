import { type CloseReason, ErrorCode, type Schema } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { message, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { slowMethod } from "./slow-method.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Returns a schema that accepts everything, synchronously or asynchronously. */
function anything(isAsync: boolean): Schema<unknown, Record<string, never>> {
  const result = { value: {} };
  const validate = () => (isAsync ? Promise.resolve(result) : result);
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** stop(): what it waits for and how long. */
export function describeDrain(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`draining on ${subject.name}`, PATIENT, () => {
    test(
      "a running handler finishes while the server stops, and its answer arrives",
      staged(async (stage) => {
        const server = await stage.listen();
        const { started, go } = slowMethod(server);
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
      "a stream that never ends is notified that the server is stopping, and doesn't delay it",
      staged(async (stage) => {
        const server = await stage.listen({ drainMs: 60_000 });
        server.stream("ticks", async function* (_params, { draining }) {
          while (!draining.aborted) {
            yield "tick";
            await turn();
          }
          yield "bye";
        });
        const client = await stage.join(server);
        let last: unknown;
        let stopping: Promise<void> | undefined;
        for await (const item of client.stream("ticks")) {
          stopping ??= server.stop();
          last = item;
        }
        await stopping;
        expect(last).toBe("bye");
      }),
    );

    test(
      "a running message handler finishes too, and queued calls are answered",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const started = gate();
        const go = gate();
        const finished = new EventLog<string>();
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
        await until(() => client.state === "draining");
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
      "a handler that still runs after drainMs is aborted: its signal fires, its caller gets CONNECTION_CLOSED",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ drainMs: 3000 }, clock.runtime);
        const started = gate();
        const aborted = new EventLog<unknown>();
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
      "handlers that finish in the turn of the cut answer first, however many functions they return through",
      staged(async (stage) => {
        const server = await stage.listen();
        const started = gate();
        const go = gate();
        const through = async (functions: number): Promise<string> => {
          if (functions > 0) return await through(functions - 1);
          await go.promise;
          return "finished";
        };
        server.rpc("slow", async () => {
          started.open();
          return through(20);
        });
        const client = await stage.join(server);
        const results = Array.from({ length: 50 }, () => client.call("slow"));
        await started.promise;
        await until(() => connectionOf(server, client).stats.messagesReceived === 50);
        go.open();
        await server.stop({ drainMs: 0 });
        expect(await Promise.all(results)).toEqual(Array(50).fill("finished"));
      }),
    );

    test(
      "answers that wait for a client to read leave before the connection closes, also with drainMs: 0",
      staged(async (stage) => {
        const server = await stage.listen({ sendQueueBytes: 64_000_000 });
        let finished = 0;
        server.rpc("hang", () => new Promise(() => {}));
        server.rpc("large", async () => {
          finished += 1;
          return new Uint8Array(50_000);
        });
        const peer = await stage.rawLoggedIn(server);
        const answered = new Set<bigint>();
        peer.pause();
        peer.call("hang", {}, 100);
        for (let id = 1; id <= 91; id++) peer.call("large", {}, id);
        await until(() => finished === 91);
        const stopping = server.stop({ drainMs: 0 });
        await turn();
        peer.resume();
        for (let frame = await peer.next(); frame.type !== Type.CLOSE; frame = await peer.next()) {
          if (frame.type === Type.RPC_RESPONSE) answered.add(frame.id);
        }
        expect(answered.size).toBe(91);
        peer.end();
        await stopping;
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
        // It reads nothing, so that all buffers fill up.
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
      "stop() settles while a client is connected that never logs in",
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
      "a handler that awaits stop() isn't waited for by itself: its answer arrives, then the server stops",
      staged(async (stage) => {
        // Its time is stopped, so drainMs never elapses.
        const clock = new SteppedClock(subject.runtime);
        for (const isSchemaAsync of [false, true]) {
          const server = await stage.listen({ drainMs: 1000 }, clock.runtime);
          server.rpc("shutdown", anything(isSchemaAsync), async () => {
            await server.stop();
            return server.state;
          });
          const client = await stage.join(server);
          expect(await client.call("shutdown", {})).toBe("stopping");
          await server.stop();
          expect(server.state).toBe("stopped");
        }
      }),
    );

    test(
      "a message handler that awaits stop() isn't waited for by itself, and other handlers finish first",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ drainMs: 1000 }, clock.runtime);
        const { started, go } = slowMethod(server);
        const stopped = gate();
        server.on("shutdown", async () => {
          await server.stop();
          stopped.open();
        });
        const client = await stage.join(server);
        const slow = client.call("slow");
        await started.promise;
        client.send("shutdown");
        await stopped.promise;
        go.open();
        expect(await slow).toBe("finished");
        await server.stop();
      }),
    );

    for (const hook of ["onShutdown", "onClientConnect", "onClientDisconnect"] as const) {
      test(
        `${hook} that awaits stop() isn't waited for by itself`,
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({ drainMs: 1000 }, clock.runtime);
          const finished = gate();
          server[hook](async () => {
            await server.stop();
            finished.open();
          });
          const client = stage.client(server);
          await client.connect().catch(() => {});
          if (hook === "onClientDisconnect") await client.disconnect();
          if (hook === "onShutdown") await server.stop();
          await finished.promise;
          await server.stop();
          expect(server.state).toBe("stopped");
        }),
      );
    }

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
          const peer = await stage.rawLoggedIn(server);
          peer.write(message("waits"));
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
      "clients learn that the server is stopping, and that they may reconnect",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const left = new EventLog<CloseReason>();
        client.onDisconnect((_client, reason) => left.add(reason));
        await server.stop();
        expect(await left.next()).toEqual({
          code: ErrorCode.SERVER_STOPPING,
          codeName: "SERVER_STOPPING",
          message: "The server is stopping",
          byPeer: true,
          reconnect: true,
        });
      }),
    );

    test(
      "a login under way when the server stops succeeds or is refused with SERVER_STOPPING, whatever its stage",
      staged(async (stage) => {
        for (let turns = 0; turns < 10; turns++) {
          const server = await stage.listen();
          const hold = gate();
          server.onShutdown(() => hold.promise);
          const clients = Array.from({ length: 5 }, () => stage.client(server));
          const results = clients.map((client) => client.connect().catch((error: { code: number }) => error.code));
          await until(() => server.stats.accepted === 5);
          for (let n = 0; n < turns; n++) await turn();
          const stopping = server.stop();
          const codes = await Promise.all(results);
          hold.open();
          await stopping;
          for (const code of codes) expect([undefined, ErrorCode.SERVER_STOPPING]).toContain(code);
          expect(server.connectionCount).toBe(0);
        }
      }),
    );
  });
}
