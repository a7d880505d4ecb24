/** Transfers with `resume: true` that continue automatically after the connection was lost. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type ClientOptions,
  ConduitError,
  ErrorCode,
  type FileProgress,
  type FileResult,
  type ServerInit,
} from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Relay } from "../support/relay.ts";
import type { Subject } from "../support/subject.ts";
import { turn } from "../support/turns.ts";
import { beforeRead, folders, sha256Of, someBytes, untilArrived, untilKept, withFiles } from "./file-scene.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const MIB = 1024 * 1024;
const CUT_AT = 13 * MIB;
const RECONNECT = { delayMs: 1, maxDelayMs: 20, jitter: false };
const CONTENT = someBytes(24 * MIB);

interface SceneOptions {
  readonly server?: Partial<ServerInit>;
  readonly client?: Partial<ClientOptions>;
  /** The receiving side. */
  readonly to: "server" | "client";
}

export function describeFileReconnects(subject: Subject): void {
  const staged = stagedOn(subject);

  /** Returns a runtime that counts a folder's open files, and whose files take some turns to close. */
  function closingLate(runtime: Runtime, folder: string, open: Set<object>): Runtime {
    return withFiles(runtime, (files) => ({
      async open(path, mode) {
        const file = await files.open(path, mode);
        if (!path.startsWith(folder)) return file;
        open.add(file);
        const close = file.close.bind(file);
        file.close = async () => {
          for (let turns = 0; turns < 20; turns += 1) await turn();
          await close();
          open.delete(file);
        };
        return file;
      },
    }));
  }

  /** Starts two sides that serve a folder each, with a relay that cuts a transfer in progress. */
  async function scene(stage: Stage, { to, server: forServer = {}, client: forClient = {} }: SceneOptions) {
    const { here, there } = await folders(stage);
    const [source, target] = to === "server" ? [here, there] : [there, here];
    await writeFile(join(source, "big.bin"), CONTENT);
    /** No more of the file is read until it resolves. */
    let cut = (): Promise<void> => Promise.resolve();
    const open = new Set<object>();
    const runtime = beforeRead(closingLate(subject.runtime, target, open), CUT_AT, async () => {
      await untilArrived(target, CUT_AT - MIB);
      await cut();
    });
    const server = await stage.listen(forServer, runtime);
    server.files("box", { dir: there, upload: true, download: true });
    const relay = new Relay(server.address.port);
    await relay.start();
    stage.defer(() => relay.kill());
    const client = await stage.join(relay, { reconnect: RECONNECT, ...forClient }, runtime);
    client.files("box", { dir: here, upload: true, download: true });
    const phases: FileProgress["phase"][] = [];
    return {
      ...{ server, client, relay, phases, target, open },
      path: join(source, "big.bin"),
      box: client.files("box"),
      options: { resume: true, onProgress: ({ phase }: FileProgress) => void phases.push(phase) },
      onCut: (task: () => Promise<void>) => {
        cut = task;
      },
      async restart(): Promise<void> {
        await relay.kill();
        await relay.start();
      },
    };
  }

  /** Starts a server that serves a file, and a client behind a relay. */
  async function streamScene(stage: Stage) {
    const { there } = await folders(stage);
    const path = join(there, "big.bin");
    await writeFile(path, CONTENT);
    const server = await stage.listen();
    server.files("box", { dir: there, download: true });
    const relay = new Relay(server.address.port);
    await relay.start();
    stage.defer(() => relay.kill());
    const client = await stage.join(relay, { reconnect: RECONNECT });
    const phases: FileProgress["phase"][] = [];
    const options = { resume: true, onProgress: ({ phase }: FileProgress) => void phases.push(phase) };
    const restart = async (): Promise<void> => {
      await relay.kill();
      await relay.start();
    };
    return { path, relay, restart, phases, options, box: client.files("box") };
  }

  /** Returns a Blob that runs `task` once in its middle, when the bytes read before have arrived. */
  function cutBlob(blob: Blob, target: string, task: () => Promise<void>) {
    let isCut = false;
    return {
      size: blob.size,
      slice: (start: number, end: number) => ({
        async arrayBuffer(): Promise<ArrayBuffer> {
          if (start >= CUT_AT && !isCut) {
            isCut = true;
            await untilArrived(target, CUT_AT - MIB);
            await task();
          }
          return await blob.slice(start, end).arrayBuffer();
        },
      }),
    };
  }

  async function expectContinued(the: { readonly target: string }, { bytes, sha256, resumedFrom }: FileResult) {
    expect({ bytes, sha256 }).toEqual({ bytes: CONTENT.length, sha256: sha256Of(CONTENT) });
    expect(resumedFrom).toBeGreaterThanOrEqual(4 * MIB);
    expect(sha256Of(await readFile(join(the.target, "big.bin")))).toBe(sha256);
    expect(await readdir(the.target)).toEqual(["big.bin"]);
  }

  describe(`transfers whose connection is lost, on ${subject.name}`, PATIENT, () => {
    test(
      "an upload continues automatically when the client is connected again, and says that it waits",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        the.onCut(the.restart);
        await expectContinued(the, await the.box.upload(the.path, the.options));
        expect(new Set(the.phases)).toEqual(new Set(["moving", "waiting"]));
      }),
    );

    test(
      "an upload of a Blob without a time continues automatically, and a later one of another Blob restarts",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        const blob = new Blob([CONTENT]);
        const cut = cutBlob(blob, the.target, the.restart);
        await expectContinued(the, await the.box.upload(cut, { ...the.options, name: "big.bin" }));
        expect(new Set(the.phases)).toEqual(new Set(["moving", "waiting"]));

        const controller = new AbortController();
        const { signal } = controller;
        const other = cutBlob(new Blob([CONTENT.slice().reverse()]), the.target, async () => controller.abort());
        await expect(the.box.upload(other, { name: "other.bin", resume: true, signal })).rejects.toMatchObject({
          code: ErrorCode.CANCELLED,
        });
        await untilKept(the.target);
        const { resumedFrom, sha256 } = await the.box.upload(blob, { name: "other.bin", resume: true });
        expect([resumedFrom, sha256]).toEqual([0, sha256Of(CONTENT)]);
      }),
    );

    test(
      "a download continues automatically when the client is connected again, and says that it waits",
      staged(async (stage) => {
        const the = await scene(stage, { to: "client" });
        the.onCut(the.restart);
        await expectContinued(the, await the.box.download("big.bin", the.target, the.options));
        expect(new Set(the.phases)).toEqual(new Set(["moving", "waiting"]));
      }),
    );

    test(
      "a download to a WritableStream continues automatically, and the stream gets each byte once",
      staged(async (stage) => {
        const the = await streamScene(stage);
        const got = new Uint8Array(CONTENT.length);
        let at = 0;
        let isCut = false;
        const sink = new WritableStream<Uint8Array>({
          async write(chunk) {
            got.set(chunk, at);
            at += chunk.length;
            if (isCut || at < 5 * MIB) return;
            isCut = true;
            await the.restart();
          },
        });
        const { bytes, sha256, resumedFrom } = await the.box.download("big.bin", sink, the.options);
        expect({ bytes, sha256, at }).toEqual({ bytes: CONTENT.length, sha256: sha256Of(CONTENT), at: CONTENT.length });
        expect(sha256Of(got)).toBe(sha256);
        expect(resumedFrom).toBeGreaterThanOrEqual(5 * MIB);
        expect(new Set(the.phases)).toEqual(new Set(["moving", "waiting"]));
      }),
    );

    test(
      "a download to a WritableStream ends with FILE_CHANGED if the file did meanwhile, or with the stream's own error",
      staged(async (stage) => {
        const the = await streamScene(stage);
        let isCut = false;
        const sink = new WritableStream<Uint8Array>({
          async write() {
            if (isCut) return;
            isCut = true;
            await the.relay.kill();
            await writeFile(the.path, "other");
            await the.relay.start();
          },
        });
        const changed = the.box.download("big.bin", sink, the.options);
        await expect(changed).rejects.toMatchObject({ codeName: "FILE_CHANGED" });
        const reason = new ConduitError(ErrorCode.CONNECTION_CLOSED, "the stream's own");
        let writes = 0;
        const broken = new WritableStream({
          write() {
            writes += 1;
            throw reason;
          },
        });
        await expect(the.box.download("big.bin", broken, the.options)).rejects.toBe(reason);
        expect(writes).toBe(1);
      }),
    );

    test(
      "an upload continues with a server that was restarted",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        the.onCut(async () => {
          const { port } = the.server.address;
          await the.server.stop({ drainMs: 0 });
          const next = stage.server({ port });
          next.files("box", { dir: the.target, upload: true });
          await next.start();
        });
        await expectContinued(the, await the.box.upload(the.path, the.options));
      }),
    );

    test(
      "an upload that begins while the client is disconnected waits for the connection",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        const lost = new Promise((resolve) => the.client.onDisconnect(resolve));
        await the.relay.kill();
        await lost;
        const upload = the.box.upload(someBytes(10), { name: "small" });
        await expect(upload).rejects.toMatchObject({ codeName: "CONNECTION_CLOSED" });
        const waiting = Promise.withResolvers<void>();
        const later = the.box.upload(the.path, { resume: true, onProgress: () => waiting.resolve() });
        await waiting.promise;
        await the.relay.start();
        expect(await later).toMatchObject({ bytes: CONTENT.length, resumedFrom: 0 });
      }),
    );

    test.each(["upload", "download"] as const)("a waiting %s ends with its signal, and with its time", (direction) =>
      staged(async (stage) => {
        const the = await scene(stage, { to: direction === "upload" ? "server" : "client" });
        the.onCut(() => the.relay.kill());
        const controller = new AbortController();
        const transfer = (options: object): Promise<FileResult> =>
          direction === "upload" ? the.box.upload(the.path, options) : the.box.download("big.bin", the.target, options);
        const cancelled = transfer({
          resume: true,
          signal: controller.signal,
          onProgress: ({ phase }: FileProgress) => phase === "waiting" && controller.abort(),
        });
        await expect(cancelled).rejects.toMatchObject({ codeName: "CANCELLED" });
        await expect(transfer({ resume: true, timeoutMs: 20 })).rejects.toMatchObject({ codeName: "TIMEOUT" });
        await untilKept(the.target);
      })(),
    );

    test(
      "an upload ends when the client is refused the login",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        the.onCut(async () => {
          const { port } = the.server.address;
          await the.server.stop({ drainMs: 0 });
          await stage.listen({ port, password: "another" });
        });
        await expect(the.box.upload(the.path, the.options)).rejects.toMatchObject({
          codeName: "CONNECTION_CLOSED",
          cause: { codeName: "RECONNECT_FAILED", cause: { codeName: "AUTH_FAILED" } },
        });
        await untilKept(the.target);
      }),
    );

    test(
      "an upload ends when the application disconnects the client",
      staged(async (stage) => {
        const the = await scene(stage, { to: "server" });
        the.onCut(() => the.client.disconnect());
        await expect(the.box.upload(the.path, the.options)).rejects.toMatchObject({ codeName: "CONNECTION_CLOSED" });
        expect(the.phases).not.toContain("waiting");
        await untilKept(the.target);
      }),
    );

    test(
      "stop() and disconnect() resolve once uploads that they end have closed their files",
      staged(async (stage) => {
        for (const to of ["server", "client"] as const) {
          const the = await scene(stage, { to });
          const ends = to === "server" ? () => the.server.stop({ drainMs: 0 }) : () => the.client.disconnect();
          const openAtEnd = new Promise<number>((resolve) => {
            the.onCut(() => ends().then(() => resolve(the.open.size)));
          });
          const sender = to === "server" ? the.box : connectionOf(the.server, the.client).files("box");
          await expect(sender.upload(the.path)).rejects.toBeInstanceOf(Error);
          expect(await openAtEnd).toBe(0);
        }
      }),
    );

    test(
      "a server's transfer to a client continues within its session",
      staged(async (stage) => {
        const the = await scene(stage, { to: "client", server: { resume: true }, client: { resume: true } });
        the.onCut(the.restart);
        const sent = await connectionOf(the.server, the.client).files("box").upload(the.path, the.options);
        expect(sent).toMatchObject({ bytes: CONTENT.length, sha256: sha256Of(CONTENT), resumedFrom: 0 });
        expect(the.phases).not.toContain("waiting");
      }),
    );

    test(
      "without a session, a server's transfer ends with its connection, and the client's next one continues it",
      staged(async (stage) => {
        const the = await scene(stage, { to: "client" });
        const back = new Promise((resolve) => the.client.onReconnect(resolve));
        the.onCut(the.restart);
        const upload = connectionOf(the.server, the.client).files("box").upload(the.path, the.options);
        await expect(upload).rejects.toMatchObject({ isTemporary: true });
        await back;
        const again = await connectionOf(the.server, the.client).files("box").upload(the.path, the.options);
        await expectContinued(the, again);
      }),
    );
  });
}
