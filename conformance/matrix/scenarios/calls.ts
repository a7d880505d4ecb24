import assert from "node:assert/strict";
import { type ConduitError, ErrorCode } from "@netconduit/core";
import { failureOf, gate, Heard } from "../../behaviour/heard.ts";
import { SteppedClock } from "../../behaviour/stepped-clock.ts";
import type { OpenServer } from "../../behaviour/subject.ts";
import type { Scenario } from "../scenario.ts";

/** A method and a message type `wait` that run until their signal fires; the codes it fired with. */
function waiting(server: OpenServer): { readonly started: Heard<number | null>; readonly fired: Heard<number> } {
  const started = new Heard<number | null>();
  const fired = new Heard<number>();
  const wait = async ({ signal, deadline }: { signal: AbortSignal; deadline: number | null }): Promise<void> => {
    const over = gate();
    signal.addEventListener("abort", () => over.open());
    started.add(deadline);
    await over.promise;
    fired.add((signal.reason as ConduitError).code);
  };
  server.rpc("wait", (_params, context) => wait(context));
  server.on("wait", (_connection, _data, context) => wait(context));
  return { started, fired };
}

/** How calls are given up: time, signals, the end of the connection. */
export const calls: readonly Scenario[] = [
  {
    title: "a call whose time is up rejects with TIMEOUT, and its handler's signal fires",
    async server(half) {
      const server = half.server();
      const { started, fired } = waiting(server);
      await half.open(server);
      await started.next();
      half.tell("started");
      const code = await fired.next();
      assert.ok(code === ErrorCode.CANCELLED || code === ErrorCode.TIMEOUT, String(code));
    },
    async client(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const client = await half.join({}, clock.runtime);
      const result = failureOf(client.call("wait", {}, { timeoutMs: 5000 }));
      await half.recordReceive("started");
      clock.advance(4900);
      assert.equal(client.health().pendingCalls, 1);
      clock.advance(200);
      assert.equal((await result).code, ErrorCode.TIMEOUT);
      assert.equal(client.health().pendingCalls, 0);
    },
  },
  {
    title: "a server's call to its client times out just so",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ rpcTimeoutMs: 7000 }, clock.runtime);
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      const result = failureOf(connection.call("wait"));
      await half.recordReceive("started");
      clock.advance(7100);
      assert.equal((await result).code, ErrorCode.TIMEOUT);
    },
    async client(half) {
      const client = await half.client();
      const fired = new Heard<number>();
      client.rpc("wait", (_params, { signal }) => {
        half.tell("started");
        return new Promise((resolve) =>
          signal.addEventListener("abort", () => {
            fired.add((signal.reason as ConduitError).code);
            resolve(null);
          }),
        );
      });
      await client.connect();
      half.tell("ready");
      await fired.next();
    },
  },
  {
    title: "a handler's signal fires with TIMEOUT at the caller's deadline, though the caller's clock stands still",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({}, clock.runtime);
      const { started, fired } = waiting(server);
      await half.open(server);
      assert.equal(await started.next(), clock.runtime.wallClock() + 3000);
      clock.advance(2900);
      assert.deepEqual(fired.all, []);
      clock.advance(200);
      assert.equal(await fired.next(), ErrorCode.TIMEOUT);
      half.tell("fired");
    },
    async client(half) {
      const client = await half.join({}, new SteppedClock(half.subject.runtime).runtime);
      const result = client.call("wait", {}, { timeoutMs: 3000 }).catch((error: ConduitError) => error.code);
      await half.recordReceive("fired");
      assert.equal(client.isConnected, true);
      await client.disconnect();
      await result;
    },
  },
  {
    title: "a cancelled call and a cancelled request reject with CANCELLED, and their handlers' signals fire",
    async server(half) {
      const server = half.server();
      const { started, fired } = waiting(server);
      await half.open(server);
      for (let n = 0; n < 2; n++) {
        await started.next();
        half.tell("started");
        assert.equal(await fired.next(), ErrorCode.CANCELLED);
      }
    },
    async client(half) {
      const client = await half.join();
      for (const ask of [
        (signal: AbortSignal) => client.call("wait", {}, { signal }),
        (signal: AbortSignal) => client.request("wait", {}, { signal }),
      ]) {
        const controller = new AbortController();
        const result = failureOf(ask(controller.signal));
        await half.recordReceive("started");
        controller.abort(new Error("changed my mind"));
        const failure = await result;
        assert.equal(failure.code, ErrorCode.CANCELLED);
        assert.equal((failure.cause as Error).message, "changed my mind");
      }
    },
  },
  {
    title: "a call that is cancelled before it is sent, or while it waits for its turn, never starts",
    async server(half) {
      const server = half.server({ handlerConcurrency: 1 });
      const started = new Heard<unknown>();
      const first = gate();
      server.rpc("work", async ({ n }) => {
        started.add(n);
        if (n === 1) await first.promise;
      });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("cancelled");
      // Its answer is behind the cancellation.
      await connection.call("barrier");
      first.open();
      await half.recordReceive("done");
      assert.deepEqual(started.all, [1, 3]);
    },
    async client(half) {
      const client = await half.client();
      client.rpc("barrier", () => null);
      await client.connect();
      const early = await failureOf(client.call("work", { n: 0 }, { signal: AbortSignal.abort() }));
      assert.equal(early.code, ErrorCode.CANCELLED);
      const running = client.call("work", { n: 1 });
      const controller = new AbortController();
      const queued = failureOf(client.call("work", { n: 2 }, { signal: controller.signal }));
      const last = client.call("work", { n: 3 });
      // It leaves at the end of this turn, so that the cancellation has something to cancel.
      await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      assert.equal((await queued).code, ErrorCode.CANCELLED);
      half.tell("cancelled");
      await Promise.all([running, last]);
      half.tell("done");
    },
  },
  {
    title: "every pending call of either end rejects with CONNECTION_CLOSED when the connection ends, signals too",
    async server(half) {
      const server = half.server();
      const { started, fired } = waiting(server);
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      const own = [connection.call("hang"), connection.request("hang"), connection.call("hang", {}, { timeoutMs: 0 })];
      const failures = own.map(failureOf);
      await started.count(52);
      await half.recordReceive("hangs");
      await connection.close("enough");
      for (const failure of await Promise.all(failures)) assert.equal(failure.code, ErrorCode.CONNECTION_CLOSED);
      assert.deepEqual(new Set(await fired.count(52)), new Set([ErrorCode.CONNECTION_CLOSED]));
    },
    async client(half) {
      const client = await half.client();
      const hanging = new Heard<string>();
      const hang = (): Promise<void> => {
        hanging.add("one more");
        return new Promise(() => {});
      };
      client.rpc("hang", hang);
      client.on("hang", hang);
      await client.connect();
      const pending = Array.from({ length: 50 }, () => client.call("wait"));
      pending.push(client.request("wait"), client.call("wait", {}, { timeoutMs: 0 }));
      const failures = pending.map(failureOf);
      half.tell("ready");
      await hanging.count(3);
      half.tell("hangs");
      for (const failure of await Promise.all(failures)) {
        assert.equal(failure.code, ErrorCode.CONNECTION_CLOSED);
        assert.match(failure.message, /enough/);
      }
      assert.equal(client.health().pendingCalls, 0);
    },
  },
];
