/** Attacks by peers that request files of a folder. */

import { createHash } from "node:crypto";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { call, frame, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";
import { attack, BINARY, INPUT, type StreamAttacker } from "./streams.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const FIRST_MARK = { at: 0, sha256: createHash("sha256").digest("hex") };
const NO_DIGEST = "0".repeat(64);

const server = { files: {} };

/** Logs in and repeatedly requests files by each name in turn. Reads the answers. */
async function requestFiles(context: AttackContext, connections: number, names: readonly string[]): Promise<void> {
  await context.againInParallel(connections, async () => {
    const socket = await context.logIn();
    let id = 1;
    while (!context.isStopped) {
      const frames: Uint8Array[] = [];
      for (const name of names) {
        for (const method of ["files:stat", "files:remove", "files:offset"]) {
          const params = { folder: "box", name, bytes: 1, modified: 1, resume: true };
          frames.push(call(id, method, params));
          id += 1;
        }
      }
      await socket.write(Buffer.concat(frames));
    }
  });
}

/** Parameters of an attacker's upload. */
function uploadOf(name: string, bytes: number, offset = 0): object {
  return { folder: "box", name, bytes, modified: 1, resume: true, offset };
}

/** Starts a thousand downloads over each connection, with credit for a part of each. */
function stallDownloads(context: AttackContext, connections = 1): Promise<void> {
  return attack(context, connections, async (attacker) => {
    for (let n = 0; n < 1000; n += 1) {
      const params = { folder: "box", name: `file-${n % 10}`, offset: 0, bytes: null, modified: null };
      const [, bytes] = await attacker.call("files:download", { output: 100 * KIB }, params);
      await attacker.socket.write(bytes);
    }
    await context.hold();
  });
}

let names = 0;

function newName(): string {
  names += 1;
  return `half-${process.pid}-${names}`;
}

const bytesOf = (id: number, count: number): Uint8Array =>
  rawFrame(INPUT, new Uint8Array(count), { id, flags: BINARY });

/** Starts `count` uploads with some bytes each. Returns their ids. */
async function beginUploads(attacker: StreamAttacker, count: number, bytes: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) {
    const frames: Uint8Array[] = [];
    for (let i = 0; i < 100; i += 1) {
      const [id, bytes] = await attacker.call("files:upload", { input: true }, uploadOf(newName(), 1024 * MIB));
      ids.push(id);
      frames.push(bytes);
    }
    await attacker.socket.write(Buffer.concat(frames));
  }
  while (ids.some((id) => !attacker.inputs.has(id) && !attacker.refused.has(id))) await attacker.next();
  const open = ids.filter((id) => attacker.inputs.has(id));
  for (const id of open) await attacker.socket.write(bytesOf(id, bytes));
  return open;
}

/** Starts an upload and continues it with `work`. */
async function upload(attacker: StreamAttacker, params: object, work: (id: number) => Promise<unknown>): Promise<void> {
  const id = await attacker.openInput("files:upload", params);
  if (attacker.inputs.has(id)) await work(id);
  attacker.inputs.delete(id);
}

/** Unicode normalization of this name takes quadratic time. */
const MARKS = `a${"\u0301".repeat(40_000)}${"\u0316".repeat(40_000)}`;

export const fileAttacks: readonly Attack[] = [
  {
    name: "requests for files by bad names",
    server,
    run: (context) =>
      requestFiles(context, 1, ["../a", "NUL", "a/b", "..\\a", "\u202e", ".netconduit", "a".repeat(241)]),
  },
  {
    name: "requests for files by names of 160 KB of marks",
    server,
    run: (context) => requestFiles(context, 1, [MARKS]),
  },
  {
    name: "half uploads, 2,000 at a time, that end with their connection",
    server,
    run: (context) =>
      attack(context, 2, async (attacker) => {
        await beginUploads(attacker, 1000, 4 * KIB);
        attacker.socket.destroy();
        await attacker.next();
      }),
  },
  {
    name: "uploads of a byte a second, 1,000 at a time",
    server,
    run: (context) =>
      attack(context, 1, async (attacker) => {
        const ids = await beginUploads(attacker, 1000, 1);
        while (!context.isStopped) {
          for (const id of ids) await attacker.socket.write(bytesOf(id, 1));
          await sleep(1000);
        }
      }),
  },
  {
    name: "uploads that race for a quota, 20 connections",
    server: { files: { quotaBytes: 16 * MIB } },
    run: (context) =>
      attack(context, 20, (attacker) =>
        upload(attacker, uploadOf(newName(), 10 * MIB), async (id) => {
          await attacker.socket.write(Buffer.concat([bytesOf(id, 32 * KIB), frame(Type.CANCEL, undefined, { id })]));
        }),
      ),
  },
  {
    name: "uploads begun and cancelled in a folder of 1,000 files with a quota, 20 connections",
    server: { files: { quotaBytes: 1024 * MIB * MIB, count: 1000 } },
    run: (context) =>
      attack(context, 20, async (attacker) => {
        const [id, bytes] = await attacker.call("files:upload", { input: true }, uploadOf(newName(), MIB));
        await attacker.socket.write(Buffer.concat([bytes, frame(Type.CANCEL, undefined, { id })]));
      }),
  },
  {
    name: "uploads that continue at false offsets, and with false hashes, 10 connections",
    server,
    run: (context) =>
      attack(context, 10, async (attacker) => {
        const name = newName();
        await upload(attacker, uploadOf(name, MIB, 5), async () => undefined);
        await upload(attacker, uploadOf(name, MIB), async (id) => {
          const mark = frame(INPUT, { at: 32 * KIB, sha256: NO_DIGEST }, { id });
          await attacker.socket.write(Buffer.concat([bytesOf(id, 32 * KIB), mark]));
        });
      }),
  },
  {
    name: "uploads of nothing but marks, 10 connections",
    server,
    run: (context) =>
      attack(context, 10, async (attacker) => {
        await upload(attacker, uploadOf(newName(), MIB), async (id) => {
          const marks = Buffer.concat(Array.from({ length: 100 }, () => frame(INPUT, FIRST_MARK, { id })));
          while (!context.isStopped) {
            while ((attacker.inputs.get(id) ?? 0) < marks.length) await attacker.next();
            attacker.inputs.set(id, (attacker.inputs.get(id) ?? 0) - marks.length);
            await attacker.socket.write(marks);
          }
        });
      }),
  },
  {
    name: "lists of 1,000 files, 10 connections",
    server: { files: { count: 1000 } },
    run: (context) =>
      attack(context, 10, async (attacker) => {
        const [, bytes] = await attacker.call("files:list", { output: MIB }, { folder: "box" });
        await attacker.socket.write(bytes);
      }),
  },
  {
    name: "downloads of 1 MiB that stall in the middle, 1,000 at a time",
    server: { files: { count: 10 } },
    run: (context) => stallDownloads(context),
  },
  {
    name: "1,000 downloads that stall at a server with 400 file descriptors",
    server: { files: { count: 10 } },
    honest: "logins",
    descriptors: 400,
    run: (context) => stallDownloads(context),
  },
  {
    name: "10,000 downloads on 10 connections that stall at a server with 400 file descriptors",
    server: { files: { count: 10 } },
    honest: "logins",
    descriptors: 400,
    run: (context) => stallDownloads(context, 10),
  },
];
