import { type ClientOptions, type CloseReason, type DrainNotice, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { slowMethod } from "./slow-method.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

/** Draining as observed by the stopping server's clients. */
export function describeDrainSeenByClients(subject: Subject): void {
  const staged = stagedOn(subject);

  /** Starts a server with a handler `slow` that runs until `go` opens, and a client waiting for it while the server stops. */
  async function stopping(stage: Stage, options: Partial<ClientOptions> = {}, retryAfterMs = 0) {
    const server = await stage.listen();
    const { started, go } = slowMethod(server);
    const client = await stage.join(server, options);
    const notices = new EventLog<DrainNotice>();
    client.onDrain((_client, notice) => notices.add(notice));
    const slow = client.call("slow");
    await started.promise;
    const stop = server.stop({ drainMs: 20_000, retryAfterMs });
    const notice = await notices.next();
    return { server, client, slow, go, stop, notice };
  }

  describe(`draining as clients of ${subject.name} see it`, PATIENT, () => {
    test(
      "onDrain runs with the time left and when to come back, the state is draining, and calls under way finish",
      staged(async (stage) => {
        const { client, slow, go, stop, notice } = await stopping(stage, {}, 300);
        expect(notice.retryAfterMs).toBe(300);
        expect(notice.endsInMs).toBeGreaterThan(0);
        expect(notice.endsInMs).toBeLessThanOrEqual(20_000);
        expect([client.state, client.isConnected]).toEqual(["draining", true]);
        go.open();
        expect(await slow).toBe("finished");
        await stop;
      }),
    );

    test(
      "a client with leaveEarly moves to the next server at the same address, while that still answers others",
      staged(async (stage) => {
        const server = await stage.listen();
        const { started, go } = slowMethod(server);
        const client = await stage.join(server);
        const reconnect = { delayMs: 5, maxDelayMs: 50, jitter: false, leaveEarly: true };
        const mover = await stage.join(server, { reconnect });
        const back = gate();
        mover.onReconnect(() => back.open());
        const { port } = server.address;
        const slow = client.call("slow");
        await started.promise;
        const stop = server.stop({ drainMs: 20_000 });
        await until(() => client.state === "draining");
        const next = await stage.listen({ port });
        await back.promise;
        expect([next.connectionCount, client.state]).toEqual([1, "draining"]);
        go.open();
        expect(await slow).toBe("finished");
        await stop;
      }),
    );

    test(
      "new calls, requests and messages are refused without being sent: SERVER_STOPPING says when to come back",
      staged(async (stage) => {
        const { server, client, slow, go, stop, notice } = await stopping(stage, {}, 300);
        const received = connectionOf(server, client).stats.messagesReceived;
        const retry_after = (notice.endsInMs + 300) / 1000;
        const refusal = { code: ErrorCode.SERVER_STOPPING, details: { retry_after, started: false } };
        expect(await failureOf(client.call("ping"))).toMatchObject(refusal);
        expect(await failureOf(client.request("ping"))).toMatchObject(refusal);
        expect(() => client.send("note")).toThrow(expect.objectContaining(refusal));
        expect(() => client.callNoWait("ping")).toThrow(expect.objectContaining(refusal));
        expect(connectionOf(server, client).stats.messagesReceived).toBe(received);
        go.open();
        await Promise.all([slow, stop]);
      }),
    );

    test(
      "a loop that repeats a refused call does not spin",
      staged(async (stage) => {
        const { client, slow, go, stop } = await stopping(stage);
        let tries = 0;
        let isOver = false;
        const loop = (async () => {
          while (!isOver) {
            tries += 1;
            await client.call("ping").catch(() => {});
          }
        })();
        for (let n = 0; n < 20; n++) await turn();
        expect(tries).toBe(1);
        isOver = true;
        go.open();
        await Promise.all([slow, stop, loop]);
      }),
    );

    test(
      "everything sent before the notice arrived is handled: the server waits for the client's answer to it",
      staged(async (stage) => {
        for (let round = 0; round < 20; round++) {
          const server = await stage.listen();
          const received = new EventLog<unknown>();
          server.on("note", (_client, n) => received.add(n));
          server.rpc("echo", (params) => params);
          const client = await stage.join(server);
          let sent = 0;
          const calls: Promise<unknown>[] = [];
          let stop: Promise<void> | null = null;
          for (let n = 0; client.state === "active"; n++) {
            client.send("note", n);
            sent = n + 1;
            calls.push(client.call("echo", { n }));
            if (n === round) stop = server.stop();
            await turn();
          }
          await Promise.all([stop, ...calls]);
          expect(received.all).toEqual(Array.from({ length: sent }, (_, n) => n));
        }
      }),
    );

    test(
      "a call that the server has not started is told apart from one that may have run, when the drain is cut short",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const started = gate();
        server.rpc("hang", () => {
          started.open();
          return new Promise(() => {});
        });
        const client = await stage.join(server);
        const running = failureOf(client.call("hang"));
        const waiting = failureOf(client.call("hang"));
        await started.promise;
        await until(() => connectionOf(server, client).stats.messagesReceived === 2);
        await server.stop({ drainMs: 0 });
        const closed = { code: ErrorCode.CONNECTION_CLOSED };
        expect(await running).toMatchObject({ ...closed, details: { started: true } });
        expect(await waiting).toMatchObject({ ...closed, details: { started: false } });
      }),
    );

    test(
      "a handler that closes its own connection has started, whatever becomes of its call",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("leave", (_params, { client }) => {
          void client.close();
        });
        const client = await stage.join(server);
        expect((await failureOf(client.call("leave"))).details).toEqual({ started: true });
      }),
    );

    test(
      "of a connection that is reset nothing is known about calls that were sent",
      staged(async (stage) => {
        const server = await stage.listen();
        const started = gate();
        server.rpc("hang", () => {
          started.open();
          return new Promise(() => {});
        });
        const client = await stage.join(server, { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 2000 });
        const running = failureOf(client.call("hang"));
        await started.promise;
        await client.disconnect();
        expect((await running).details).toBeUndefined();
      }),
    );

    test(
      "a client that reconnects does so no sooner than the server said",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen();
        const reconnect = { delayMs: 10, jitter: false };
        const client = stage.client(server, { reconnect }, clock.runtime);
        await client.connect();
        const gone = new EventLog<CloseReason>();
        client.onDisconnect((_client, reason) => gone.add(reason));
        const states = new EventLog<string>();
        client.onStateChange(({ to }) => states.add(to));
        await server.stop({ retryAfterMs: 5000 });
        await gone.next();
        await turn();
        clock.advance(4900);
        await turn();
        expect(states.all).not.toContain("connecting");
        clock.advance(200);
        await until(() => states.all.includes("connecting"));
      }),
    );
  });
}
