import { type Connection, ErrorCode, type HandlerContext } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { OpenServer, Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

type Context = HandlerContext<Connection>;

/** Registers a method `wait` that runs until its signal is aborted. Records the contexts and the codes of the aborts. */
function waiting(server: OpenServer): { readonly contexts: EventLog<Context>; readonly reasons: EventLog<number> } {
  const contexts = new EventLog<Context>();
  const reasons = new EventLog<number>();
  server.rpc("wait", async (_params, context) => {
    const aborted = gate();
    context.signal.addEventListener("abort", () => aborted.open());
    contexts.add(context);
    await aborted.promise;
    reasons.add((context.signal.reason as { code: number }).code);
  });
  return { contexts, reasons };
}

/** A handler's context: caller, method, deadline, signal; timeouts and cancellation. */
export function describeContext(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`handler context on ${subject.name}`, PATIENT, () => {
    test(
      "a handler knows its caller and its method",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("who", (_params, { client, method }) => [client.id, method]);
        server.on("who", (_client, _data, { client, method }) => [client.id, method]);
        const client = await stage.join(server);
        const { id } = connectionOf(server, client);
        expect(await client.call("who")).toEqual([id, "who"]);
        expect(await client.request("who")).toEqual([id, "who"]);
      }),
    );

    test(
      "a client's handler gets the client",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const heard = new EventLog<boolean>();
        client.rpc("who", (_params, context) => heard.add(context.client === client));
        client.on("who", (_data, context) => heard.add(context.client === client));
        await connectionOf(server, client).call("who");
        await connectionOf(server, client).request("who");
        expect(heard.all).toEqual([true, true]);
      }),
    );

    test(
      "the deadline is the caller's timeout, in Unix milliseconds",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({}, clock.runtime);
        server.rpc("deadline", (_params, { deadline }) => deadline);
        const client = await stage.join(server, { rpcTimeoutMs: 7000 });
        const now = clock.runtime.wallClock();
        expect(await client.call("deadline", {}, { timeoutMs: 1234 })).toBe(now + 1234);
        expect(await client.call("deadline")).toBe(now + 7000);
      }),
    );

    test(
      "the deadline is null if the caller sends none",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("deadline", (_params, { deadline }) => ({ deadline }));
        const peer = await stage.rawLoggedIn(server);
        peer.write(call(1n, "deadline"));
        expect((await peer.next()).payload).toEqual({ success: true, result: { deadline: null } });
      }),
    );

    test(
      "a cancelled call rejects at once with CANCELLED, and the handler's signal fires with CANCELLED",
      staged(async (stage) => {
        const server = await stage.listen();
        const { contexts, reasons } = waiting(server);
        const client = await stage.join(server);
        const controller = new AbortController();
        const result = failureOf(client.call("wait", {}, { signal: controller.signal }));
        await contexts.next();
        controller.abort(new Error("changed my mind"));
        const failure = await result;
        expect(failure).toMatchObject({ code: ErrorCode.CANCELLED, cause: { message: "changed my mind" } });
        expect(reasons.all).toEqual([]);
        expect(await reasons.next()).toBe(ErrorCode.CANCELLED);
      }),
    );

    test(
      "a cancelled request rejects with CANCELLED, and the handler's signal fires with CANCELLED",
      staged(async (stage) => {
        const server = await stage.listen();
        const aborted = new EventLog<unknown>();
        const started = gate();
        server.on("wait", (_client, _data, { signal }) => {
          started.open();
          return new Promise<void>((resolve) =>
            signal.addEventListener("abort", () => {
              aborted.add(signal.reason);
              resolve();
            }),
          );
        });
        const client = await stage.join(server);
        const controller = new AbortController();
        const result = failureOf(client.request("wait", null, { signal: controller.signal }));
        await started.promise;
        controller.abort();
        expect((await result).code).toBe(ErrorCode.CANCELLED);
        expect(await aborted.next()).toMatchObject({ code: ErrorCode.CANCELLED });
      }),
    );

    test(
      "a call whose signal has fired already is never sent",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<string>();
        server.rpc("work", (_params, { method }) => heard.add(method));
        server.rpc("last", () => null);
        const client = await stage.join(server);
        const failure = await failureOf(client.call("work", {}, { signal: AbortSignal.abort() }));
        expect(failure.code).toBe(ErrorCode.CANCELLED);
        await client.call("last");
        expect(heard.all).toEqual([]);
        expect(client.health().pendingCalls).toBe(0);
      }),
    );

    test(
      "cancelling after the answer changes nothing",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("work", () => "done");
        const client = await stage.join(server);
        const controller = new AbortController();
        expect(await client.call("work", {}, { signal: controller.signal })).toBe("done");
        controller.abort();
        expect(await client.call("work")).toBe("done");
      }),
    );

    test(
      "a call that is cancelled while it is queued never starts",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const first = gate();
        const started = new EventLog<unknown>();
        server.rpc("work", async ({ n }) => {
          started.add(n);
          if (n === 0) await first.promise;
        });
        const client = await stage.join(server);
        const running = client.call("work", { n: 0 });
        const controller = new AbortController();
        const queued = failureOf(client.call("work", { n: 1 }, { signal: controller.signal }));
        const last = client.call("work", { n: 2 });
        await started.count(1);
        controller.abort();
        expect((await queued).code).toBe(ErrorCode.CANCELLED);
        // Another round trip on the same connection, so that CANCEL has arrived.
        const pong = new EventLog<unknown>();
        client.rpc("pong", pong.add);
        await connectionOf(server, client).call("pong");
        first.open();
        await Promise.all([running, last]);
        expect(started.all).toEqual([0, 2]);
      }),
    );

    test(
      "a request that is cancelled while it is queued never starts",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const first = gate();
        const started = new EventLog<unknown>();
        server.on("work", async (_client, data) => {
          started.add(data);
          await first.promise;
        });
        const client = await stage.join(server);
        client.send("work", 0);
        const controller = new AbortController();
        const queued = failureOf(client.request("work", 1, { signal: controller.signal }));
        client.send("work", 2);
        await started.count(1);
        controller.abort();
        expect((await queued).code).toBe(ErrorCode.CANCELLED);
        client.rpc("pong", () => null);
        await connectionOf(server, client).call("pong");
        first.open();
        expect(await started.count(2)).toEqual([0, 2]);
      }),
    );

    test(
      "a call rejects with TIMEOUT when its time is up, and the handler's signal fires",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen();
        const { contexts, reasons } = waiting(server);
        const client = await stage.join(server, {}, clock.runtime);
        const result = failureOf(client.call("wait", {}, { timeoutMs: 5000 }));
        await contexts.next();
        clock.advance(4900);
        expect(client.health().pendingCalls).toBe(1);
        clock.advance(200);
        const failure = await result;
        expect(failure).toMatchObject({
          code: ErrorCode.TIMEOUT,
          message: expect.stringMatching(/^'wait' timed out after 5000 ms: the server .+ has not replied$/),
        });
        expect(await reasons.next()).toBe(ErrorCode.CANCELLED);
      }),
    );

    test(
      "a server's call rejects with TIMEOUT when its time is up, and the client's handler's signal fires",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ rpcTimeoutMs: 7000 }, clock.runtime);
        const client = await stage.join(server);
        const started = gate();
        const aborted = new EventLog<unknown>();
        client.rpc("wait", (_params, { signal }) => {
          signal.addEventListener("abort", () => aborted.add((signal.reason as { code: number }).code));
          started.open();
          return new Promise(() => {});
        });
        const result = failureOf(connectionOf(server, client).call("wait"));
        await started.promise;
        clock.advance(7100);
        expect((await result).code).toBe(ErrorCode.TIMEOUT);
        expect(await aborted.next()).toBe(ErrorCode.CANCELLED);
      }),
    );

    test(
      "the signal fires with TIMEOUT when the deadline passes, without another word from the caller",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({}, clock.runtime);
        const { contexts, reasons } = waiting(server);
        const peer = await stage.rawLoggedIn(server);
        peer.write(frame(Type.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 3000 }, { id: 1n }));
        const { deadline } = await contexts.next();
        expect(deadline).toBe(clock.runtime.wallClock() + 3000);
        clock.advance(2900);
        expect(reasons.all).toEqual([]);
        clock.advance(200);
        expect(await reasons.next()).toBe(ErrorCode.TIMEOUT);
      }),
    );

    for (const [how, leave] of [
      ["disconnects", (peer) => peer.write(frame(Type.CLOSE, { reason: "bye" }))],
      ["closes its socket", (peer) => peer.end()],
      ["resets its socket", (peer) => peer.reset()],
    ] as const satisfies readonly [string, (peer: RawPeer) => void][]) {
      test(
        `the signal fires with CONNECTION_CLOSED when the caller ${how}`,
        staged(async (stage) => {
          const server = await stage.listen();
          const { contexts, reasons } = waiting(server);
          const peer = await stage.rawLoggedIn(server);
          peer.write(call(1n, "wait"));
          await contexts.next();
          leave(peer);
          expect(await reasons.next()).toBe(ErrorCode.CONNECTION_CLOSED);
        }),
      );
    }

    test(
      "a signal that is first read after the call is over has fired",
      staged(async (stage) => {
        const server = await stage.listen();
        const contexts = new EventLog<Context>();
        const go = gate();
        const reasons = new EventLog<unknown>();
        server.rpc("late", async (_params, context) => {
          contexts.add(context);
          await go.promise;
          reasons.add(context.signal.aborted);
        });
        const client = await stage.join(server);
        const controller = new AbortController();
        const result = failureOf(client.call("late", {}, { signal: controller.signal }));
        await contexts.next();
        controller.abort();
        await result;
        client.rpc("pong", () => null);
        await server.connections[0]?.call("pong");
        go.open();
        expect(await reasons.next()).toBe(true);
      }),
    );

    test(
      "the late answer of a cancelled handler is not taken for another call's",
      staged(async (stage) => {
        const server = await stage.listen();
        const go = gate();
        const started = gate();
        server.rpc("old", async () => {
          started.open();
          await go.promise;
          return "old";
        });
        const second = gate<string>();
        server.rpc("new", () => second.promise);
        const client = await stage.join(server);
        const controller = new AbortController();
        const old = failureOf(client.call("old", {}, { signal: controller.signal }));
        await started.promise;
        controller.abort();
        await old;
        const fresh = client.call("new");
        go.open();
        server.rpc("barrier", () => null);
        await client.call("barrier");
        second.open("new");
        expect(await fresh).toBe("new");
      }),
    );
  });
}
