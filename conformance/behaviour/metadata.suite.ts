import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

const META = { traceparent: "00-4bf92f35-00f067aa-01", tenant: "blue" };

/** Options `meta` of calls, messages and streams, and `parent` of nested calls. */
export function describeMetadata(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`metadata on ${subject.name}`, PATIENT, () => {
    test(
      "a handler gets the metadata of a call, a request, a message, a call without a reply and a stream",
      staged(async (stage) => {
        const server = await stage.listen();
        const got = new EventLog<unknown>();
        server.rpc("work", (_params, { meta }) => {
          got.add(meta);
        });
        server.on("work", (_client, _data, { meta }) => {
          got.add(meta);
        });
        server.stream("work.stream", async function* (_params, { meta }) {
          yield meta;
        });
        const client = await stage.join(server);
        await client.call("work", {}, { meta: META });
        await client.request("work", null, { meta: META });
        client.send("work", null, { meta: META });
        client.callNoWait("work", {}, { meta: META });
        expect(await got.count(4)).toEqual([META, META, META, META]);
        for await (const meta of client.stream("work.stream", {}, { meta: META })) expect(meta).toEqual(META);
      }),
    );

    test(
      "a client's handler gets the metadata of the server's calls and messages",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        client.rpc("work", (_params, { meta }) => meta);
        client.on("work", (_data, { meta }) => meta);
        const connection = connectionOf(server, client);
        expect(await connection.call("work", {}, { meta: META })).toEqual(META);
        expect(await connection.request("work", null, { meta: META })).toEqual(META);
      }),
    );

    test(
      "without the option, a handler's metadata is an empty map",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("work", (_params, { meta }) => meta);
        const client = await stage.join(server);
        expect(await client.call("work")).toEqual({});
        expect(await client.call("work", {}, { meta: {} })).toEqual({});
      }),
    );

    test(
      "a call keeps its metadata beside an input and a timeout",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc({ name: "sum", input: true }, async (_params, { input, meta, deadline }) => {
          const items: unknown[] = [];
          for await (const item of input) items.push(item);
          return { items, meta, hasDeadline: deadline !== null };
        });
        const client = await stage.join(server);
        const result = await client.call("sum", {}, { input: [1, 2], meta: META, timeoutMs: 60_000 });
        expect(result).toEqual({ items: [1, 2], meta: META, hasDeadline: true });
      }),
    );

    test(
      "what is queued while a client is disconnected keeps its metadata",
      staged(async (stage) => {
        const server = await stage.listen();
        const got = new EventLog<unknown>();
        server.on("work", (_client, _data, { meta }) => {
          got.add(meta);
        });
        server.rpc("work", (_params, { meta }) => meta);
        const client = stage.client(server, { queueWhileDisconnected: "send" });
        const connecting = client.connect();
        client.send("work", null, { meta: META });
        const call = client.call("work", {}, { meta: META });
        await connecting;
        expect(await call).toEqual(META);
        expect(await got.count(1)).toEqual([META]);
      }),
    );

    test(
      "metadata that isn't a small map of strings is refused with INVALID_CONFIG, and nothing is sent",
      staged(async (stage) => {
        const server = await stage.listen();
        let calls = 0;
        server.rpc("work", () => {
          calls += 1;
        });
        const client = await stage.join(server);
        const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, ""]));
        for (const meta of ["text", [], { key: 1 }, { key: undefined }, { key: "x".repeat(4097) }, many]) {
          const options = { meta: meta as never };
          expect(await failureOf(client.call("work", {}, options))).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
          expect(() => client.send("work", null, options)).toThrow(
            expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }),
          );
        }
        expect(calls).toBe(0);
      }),
    );

    test(
      "a nested call has at most the time that its parent's caller still waits",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const back = await stage.listen({}, clock.runtime);
        back.rpc("deadline", (_params, { deadline }) => deadline);
        const backClient = await stage.join(back, {}, clock.runtime);
        const front = await stage.listen({}, clock.runtime);
        front.rpc("ask", async ({ timeoutMs }, context) => {
          const options = typeof timeoutMs === "number" ? { timeoutMs } : {};
          return [context.deadline, await backClient.call("deadline", {}, { ...options, parent: context })];
        });
        const client = await stage.join(front, {}, clock.runtime);
        const [ours, theirs] = (await client.call("ask", {}, { timeoutMs: 5000 })) as [number, number];
        expect(theirs).toBe(ours);
        const [long, short] = (await client.call("ask", { timeoutMs: 100 }, { timeoutMs: 5000 })) as [number, number];
        expect(short).toBe(long - 4900);
        const [wanted, capped] = (await client.call("ask", { timeoutMs: 9000 }, { timeoutMs: 5000 })) as [
          number,
          number,
        ];
        expect(capped).toBe(wanted);
      }),
    );

    test(
      "a nested call is cancelled when its parent's caller cancels, and one made after that isn't sent",
      staged(async (stage) => {
        const server = await stage.listen();
        const outcomes = new EventLog<unknown>();
        const started = gate();
        let late = 0;
        server.rpc("late", () => {
          late += 1;
        });
        server.rpc("wait", async (_params, { signal }) => {
          started.open();
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
          outcomes.add((signal.reason as { code: number }).code);
        });
        const inner = await stage.join(server);
        server.rpc("outer", async (_params, context) => {
          outcomes.add(((await failureOf(inner.call("wait", {}, { parent: context }))) as { code: number }).code);
          outcomes.add(((await failureOf(inner.call("late", {}, { parent: context }))) as { code: number }).code);
        });
        const client = await stage.join(server);
        const controller = new AbortController();
        const call = client.call("outer", {}, { signal: controller.signal });
        await started.promise;
        controller.abort();
        expect(await failureOf(call)).toMatchObject({ code: ErrorCode.CANCELLED });
        const { CANCELLED } = ErrorCode;
        expect(await outcomes.count(3)).toEqual([CANCELLED, CANCELLED, CANCELLED]);
        expect(late).toBe(0);
      }),
    );

    test(
      "a parent that is no handler's context is refused with INVALID_CONFIG",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const failure = await failureOf(client.call("work", {}, { parent: {} as never }));
        expect(failure).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
      }),
    );
  });
}
