import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** `AsyncLocalStorage` around handlers and calls. */
export function describeAsyncContext(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`AsyncLocalStorage on ${subject.name}`, PATIENT, () => {
    test(
      "a handler does not see the store that another handler entered",
      staged(async (stage) => {
        const storage = new AsyncLocalStorage<string>();
        const server = await stage.listen();
        const seen = new EventLog<string | undefined>();
        server.rpc("enter", ({ name }) => {
          seen.add(storage.getStore());
          storage.enterWith(String(name));
        });
        server.on("enter", async (_client, name) => {
          seen.add(storage.getStore());
          storage.enterWith(String(name));
        });
        const client = await stage.join(server);
        const first = [
          client.call("enter", { name: "a" }),
          client.call("enter", { name: "b" }),
          client.request("enter", "c"),
        ];
        await Promise.all(first);
        await client.call("enter", { name: "d" });
        expect(seen.all).toEqual([undefined, undefined, undefined, undefined]);
      }),
    );

    test(
      "a handler that waited in the queue does not see the store of the one before it",
      staged(async (stage) => {
        const storage = new AsyncLocalStorage<string>();
        const server = await stage.listen({ handlerConcurrency: 1 });
        server.rpc("enter", async () => {
          const before = storage.getStore();
          storage.enterWith("entered");
          await null;
          return before ?? "none";
        });
        const client = await stage.join(server);
        const results = await Promise.all([client.call("enter"), client.call("enter"), client.call("enter")]);
        expect(results).toEqual(["none", "none", "none"]);
      }),
    );

    test(
      "handlers see the store neither of start() nor of connect()",
      staged(async (stage) => {
        const storage = new AsyncLocalStorage<string>();
        const server = stage.server();
        await storage.run("start", () => server.start());
        const client = stage.client(server);
        const seen = (): string => storage.getStore() ?? "none";
        server.rpc("seen", seen);
        client.rpc("seen", seen);
        await storage.run("connect", () => client.connect());
        expect(await client.call("seen")).toBe("none");
        expect(await server.connections[0]!.call("seen")).toBe("none");
      }),
    );

    test(
      "a handler keeps its own store across its awaits, and a caller its own across a call",
      staged(async (stage) => {
        const storage = new AsyncLocalStorage<number>();
        const server = await stage.listen();
        server.rpc("keep", async ({ n }) => {
          storage.enterWith(n as number);
          await new Promise((resolve) => setImmediate(resolve));
          return storage.getStore();
        });
        const client = await stage.join(server);
        const callIn = (n: number): Promise<unknown> =>
          storage.run(n, async () => [await client.call("keep", { n: 100 + n }), storage.getStore()]);
        expect(await Promise.all([1, 2, 3].map(callIn))).toEqual([
          [101, 1],
          [102, 2],
          [103, 3],
        ]);
      }),
    );

    test(
      "the generator of an input keeps the caller's store, and that of a stream its middleware's, to its finally",
      staged(async (stage) => {
        const storage = new AsyncLocalStorage<string>();
        const server = await stage.listen();
        server.use((context, next) => storage.run(`${context.method} of the server`, next));
        const stores = new Set<string | undefined>();
        const ends = new EventLog<string | undefined>();
        async function* items(): AsyncGenerator<Uint8Array> {
          try {
            // More than a window, so that most of them are requested by the peer's credit.
            for (let n = 0; n < 1000; n++) {
              stores.add(storage.getStore());
              yield new Uint8Array(1024);
            }
          } finally {
            ends.add(storage.getStore());
          }
        }
        server.rpc({ name: "take", input: true }, async (_params, { input }) => {
          let bytes = 0;
          for await (const item of input) bytes += (item as Uint8Array).length;
          return bytes;
        });
        server.stream("items", items);
        const client = await stage.join(server);
        expect(await storage.run("caller", () => client.call("take", {}, { input: items() }))).toBe(1_024_000);
        expect([...stores]).toEqual(["caller"]);

        stores.clear();
        let left = 600;
        for await (const _item of client.stream("items")) if (left-- === 0) break;
        expect([...stores]).toEqual(["items of the server"]);
        expect(await ends.count(2)).toEqual(["caller", "items of the server"]);
      }),
    );
  });
}
