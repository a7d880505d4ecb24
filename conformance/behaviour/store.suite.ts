import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode, type FileStore, type FileStoreOptions } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { OpenServer, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { PATIENT, type Stage, stagedOn } from "./stage.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

/** Creates a store in a file. Its folder is removed with the stage. */
async function filed(stage: Stage): Promise<{ path: string; open(options?: FileStoreOptions): Promise<FileStore> }> {
  const folder = await mkdtemp(join(tmpdir(), "netconduit-store-"));
  stage.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "store.db");
  const open = async (options?: FileStoreOptions): Promise<FileStore> => {
    const store = await stage.subject.fileStore(path, options);
    stage.defer(() => store.close());
    return store;
  };
  return { path, open };
}

/** File stores, and servers that use them. */
export function describeStore(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`a store in a file on ${subject.name}`, PATIENT, () => {
    test(
      "keeps values by key, creates a key once, lists keys in order, and has them when it is opened again",
      staged(async (stage) => {
        const { path, open } = await filed(stage);
        const store = await open();
        expect((await stat(path)).mode & 0o077).toBe(0);
        expect(await store.get("a/1")).toBeNull();
        expect(await Promise.all([1, 2].map((n) => store.create("a/1", bytes(n), MINUTE)))).toEqual([true, false]);
        await store.put("a/2", bytes(2), MINUTE);
        await store.put("a/2", bytes(3), MINUTE);
        await store.put("b/1", new Uint8Array(0), MINUTE);
        await store.put("a/gone", bytes(4), 1);
        await store.delete("nothing");
        await sleep(5);
        expect(await store.get("a/gone")).toBeNull();
        expect(await store.create("a/gone", bytes(5), 1)).toBe(true);
        await store.delete("a/gone");
        await store.close();
        await expect(store.get("a/1")).rejects.toMatchObject({ code: ErrorCode.STORE_FAILED });
        const again = await open({ fsync: "commit" });
        expect(await again.keys("a/", 10)).toEqual(["a/1", "a/2"]);
        expect(await again.keys("", 2)).toEqual(["a/1", "a/2"]);
        expect(await again.get("a/1")).toEqual(bytes(1));
        expect(await again.get("a/2")).toEqual(bytes(3));
        expect(await again.get("b/1")).toEqual(new Uint8Array(0));
      }),
    );

    test(
      "is for its owner only, also in a file that others could read",
      staged(async (stage) => {
        const { path, open } = await filed(stage);
        await writeFile(path, "", { mode: 0o644 });
        await open();
        expect((await stat(path)).mode & 0o077).toBe(0);
      }),
    );

    test(
      "keeps values for their time, whatever the system's clock is set to",
      staged(async (stage) => {
        const { open } = await filed(stage);
        const systemNow = Date.now;
        const stores: FileStore[] = [];
        try {
          Date.now = () => systemNow() - 40 * DAY;
          stores.push(await open());
          await stores[0]?.put("key", bytes(1), MINUTE);
          Date.now = systemNow;
          expect(await stores[0]?.get("key")).toEqual(bytes(1));
          await stores[0]?.close();
          stores.push(await open());
          expect(await stores[1]?.get("key")).toEqual(bytes(1));
          expect(await stores[1]?.create("key", bytes(2), MINUTE)).toBe(false);
        } finally {
          Date.now = systemNow;
        }
      }),
    );

    test(
      "is one process's: it can't be opened twice, nor if it is another program's file",
      staged(async (stage) => {
        const { path, open } = await filed(stage);
        const store = await open();
        await expect(open()).rejects.toMatchObject({ code: ErrorCode.STORE_IN_USE });
        await store.close();
        await (await open()).close();
        await writeFile(path, "x".repeat(10_000));
        await expect(open()).rejects.toMatchObject({ code: ErrorCode.STORE_FAILED });
        await expect(stage.subject.fileStore(join(path, "in", "no", "folder"))).rejects.toMatchObject({
          code: ErrorCode.STORE_FAILED,
        });
        await expect(open({ maxBytes: 1000 })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
      }),
    );

    test(
      "refuses what exceeds maxBytes, and takes it again when there is room",
      staged(async (stage) => {
        const store = await (await filed(stage)).open({ maxBytes: 1024 * 1024 });
        const large = new Uint8Array(100_000);
        let kept = 0;
        let failure: unknown = null;
        while (failure === null && kept < 100) {
          failure = await store.put(`large/${kept}`, large, MINUTE).then(
            () => null,
            (error: unknown) => error,
          );
          if (failure === null) kept += 1;
        }
        expect(failure).toMatchObject({ code: ErrorCode.STORE_FULL });
        expect(kept).toBeGreaterThan(5);
        expect(await store.get("large/0")).toEqual(large);
        for (let i = 0; i < 3; i += 1) await store.delete(`large/${i}`);
        await store.put("large/again", large, MINUTE);
        expect(await store.get("large/again")).toEqual(large);
      }),
    );
  });

  describe(`servers with a store on ${subject.name}`, PATIENT, () => {
    test(
      "carry out once what has a key, one after the other, and keep dead letters",
      staged(async (stage) => {
        const { open } = await filed(stage);
        let charged = 0;
        const begin = async (port: number): Promise<{ server: OpenServer; store: FileStore }> => {
          const store = await open();
          const server = await stage.listen({ port, resume: { store } });
          server.rpc("charge", () => ++charged);
          server.on("poison", () => {
            throw new Error("Fails");
          });
          return { server, store };
        };
        const { server, store } = await begin(0);
        const { port } = server.address;
        const client = await stage.join(server, { reconnect: { delayMs: 5, maxDelayMs: 20 } });
        expect(await client.call("charge", {}, { once: "order 1" })).toBe(1);
        const poisoned = client.send("poison", { id: 1 }, { ack: { deliveries: 2, delayMs: 1 } });
        await expect(poisoned).rejects.toMatchObject({ code: ErrorCode.INTERNAL });
        await server.stop();
        await store.close();
        const { server: next } = await begin(port);
        expect(await client.call("charge", {}, { once: "order 1", timeoutMs: 20_000 })).toBe(1);
        expect(await client.call("charge", {}, { once: "order 2" })).toBe(2);
        expect(await next.deadLetters.list()).toMatchObject([{ type: "poison", data: { id: 1 }, deliveries: 2 }]);
      }),
    );

    test(
      "refuse with a code what a full store can't keep, and serve on",
      staged(async (stage) => {
        const store = await (await filed(stage)).open({ maxBytes: 1024 * 1024 });
        const server = await stage.listen({ resume: { store } });
        const codes: unknown[] = [];
        server.onError((error, { stage: where }) => void codes.push([where, (error as { code?: unknown }).code]));
        server.rpc("charge", () => 1);
        server.rpc("ping", () => "pong");
        const client = await stage.join(server);
        for (const size of [4000, 100]) {
          let isFull = false;
          for (let i = 0; !isFull; i += 1) {
            await store.put(`fill/${size}/${i}`, new Uint8Array(size), MINUTE).catch(() => {
              isFull = true;
            });
          }
        }
        let refusal: unknown = null;
        for (let i = 0; refusal === null && i < 100; i += 1) {
          refusal = await client.call("charge", {}, { once: `order ${i}`, timeoutMs: 500 }).then(
            () => null,
            (error: unknown) => error,
          );
        }
        expect(refusal).toMatchObject({ code: ErrorCode.STORE_FULL });
        await until(() => codes.length > 0);
        expect(codes[0]).toEqual(["store", ErrorCode.STORE_FULL]);
        expect(await client.call("ping")).toBe("pong");
      }),
    );
  });
}
