/** Files to send: from a disk, from memory, or from a stream. */

import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import type { FileAccess, FileFacts, OpenFile } from "../../util/file-access.ts";
import { closeSource } from "../streams/stream-source.ts";
import { withFileErrors } from "./file-errors.ts";

const READ_BYTES: number = 256 * 1024;
/** Fits into one frame of a stream. Larger items have to be reassembled, which costs the receiver a copy. */
const CHUNK_BYTES: number = 64 * 1024;

/** A file to send. It can be read once, or repeatedly if its size is known. */
export interface FileSource {
  /** Undefined for a stream, and for bytes. */
  readonly name: string | undefined;
  /** Null if unknown. */
  readonly bytes: number | null;
  /** Unix milliseconds; null if unknown. A source is unchanged if its size and time are. */
  readonly modifiedMs: number | null;
  /** Identifies the source within this process; null if it can't be continued from the middle. */
  readonly key: string | null;
  /** The bytes from `offset`. A chunk is valid until the next one is requested. */
  chunks(offset: number): AsyncIterable<Uint8Array>;
  /** @throws RpcError FILE_CHANGED if the source has changed or its size isn't `bytes` */
  mustBeUnchanged(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** A web `Blob` or `File`. */
export interface BlobLike {
  readonly size: number;
  readonly name?: string;
  readonly lastModified?: number;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** A path, bytes, a `Blob` or `File`, a web stream or an async iterable of bytes. */
export type UploadSource =
  | string
  | Uint8Array
  | ArrayBuffer
  | BlobLike
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

/**
 * Opens the source of an upload.
 * @throws ConduitError INVALID_CONFIG for an unsupported source; the codes of a file that can't be read
 */
export async function openSource(source: UploadSource, files: () => FileAccess): Promise<FileSource> {
  if (typeof source === "string") return await openFile(files(), source);
  if (source instanceof Uint8Array) return memorySource(source);
  if (source instanceof ArrayBuffer) return memorySource(new Uint8Array(source));
  if (typeof source === "object" && source !== null) {
    if ("slice" in source && "size" in source) return blobSource(source);
    if ("getReader" in source) return streamSource(source, () => chunksOfStream(source));
    if (Symbol.asyncIterator in source) return streamSource(source, () => source);
  }
  const rule = "must be a path, bytes, a Blob, a ReadableStream or an async iterable of bytes";
  const message = `A file to upload ${rule}, got ${describeValue(source)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** Opens a file on the disk. @param name for errors; default: the path */
export async function openFile(files: FileAccess, path: string, name: string = path): Promise<DiskSource> {
  const doing = `read '${name}'`;
  return await withFileErrors(doing, async () => {
    const file = await files.open(path, "read");
    try {
      return new DiskSource(file, await file.facts(), files.nameOf(path), doing);
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}

/** An open file on the disk. */
export class DiskSource implements FileSource {
  readonly #file: OpenFile;
  readonly #facts: FileFacts;
  readonly #doing: string;
  readonly name: string;
  readonly key: string;

  constructor(file: OpenFile, facts: FileFacts, name: string, doing: string) {
    this.#file = file;
    this.#facts = facts;
    this.#doing = doing;
    this.name = name;
    this.key = `${facts.id}/${facts.bytes}/${facts.modifiedMs}`;
  }

  get bytes(): number {
    return this.#facts.bytes;
  }

  get modifiedMs(): number {
    return this.#facts.modifiedMs;
  }

  /** Reads the next chunk while the last one is being sent. */
  async *chunks(offset: number): AsyncGenerator<Uint8Array, undefined> {
    let memory = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(1, this.bytes - offset)));
    let spare = new Uint8Array(0);
    let reading = this.#read(memory, offset);
    let at = offset;
    try {
      for (;;) {
        const count = await reading;
        if (count === 0) return;
        at += count;
        const bytes = memory.subarray(0, count);
        // Read sizes double, so that transfers that stall at their start hold little memory.
        const size = Math.min(2 * memory.length, READ_BYTES, Math.max(1, this.bytes - at));
        [memory, spare] = [spare.length >= size ? spare : new Uint8Array(size), memory];
        reading = this.#read(memory, at);
        // Awaited in the next iteration or at the end.
        reading.catch(() => undefined);
        for (let from = 0; from < count; from += CHUNK_BYTES) yield bytes.subarray(from, from + CHUNK_BYTES);
      }
    } finally {
      await reading.catch(() => undefined);
    }
  }

  /** Reads up to the announced size. A file that has grown is detected at the end. */
  async #read(memory: Uint8Array, at: number): Promise<number> {
    const wanted = Math.min(memory.length, this.bytes - at);
    if (wanted <= 0) return 0;
    return await withFileErrors(this.#doing, () => this.#file.read(memory.subarray(0, wanted), at));
  }

  async mustBeUnchanged(bytes: number): Promise<void> {
    const now = await withFileErrors(this.#doing, () => this.#file.facts());
    const { bytes: size, modifiedMs } = this.#facts;
    if (bytes === size && now.bytes === size && now.modifiedMs === modifiedMs) return;
    throw new RpcError(ErrorCode.FILE_CHANGED, `'${this.name}' changed while it was sent`);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/**
 * Replaces a missing modification time with a random number, which only this upload knows, so that no other one
 * continues it.
 */
export function withRandomVersion(source: FileSource): FileSource & { readonly key: string } {
  const modifiedMs = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
  return { ...source, modifiedMs, key: crypto.randomUUID() };
}

function memorySource(bytes: Uint8Array): FileSource {
  return {
    name: undefined,
    bytes: bytes.length,
    modifiedMs: null,
    key: null,
    async *chunks(offset) {
      for (let at = offset; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
    },
    mustBeUnchanged: async () => undefined,
    close: async () => undefined,
  };
}

function blobSource(blob: BlobLike): FileSource {
  const modifiedMs = blob.lastModified ?? null;
  return {
    name: blob.name,
    bytes: blob.size,
    modifiedMs,
    key: modifiedMs === null ? null : `blob/${blob.name}/${blob.size}/${modifiedMs}`,
    async *chunks(offset) {
      for (let at = offset; at < blob.size; at += CHUNK_BYTES) {
        yield new Uint8Array(await blob.slice(at, Math.min(at + CHUNK_BYTES, blob.size)).arrayBuffer());
      }
    },
    async mustBeUnchanged(bytes) {
      if (bytes !== blob.size) throw new RpcError(ErrorCode.FILE_CHANGED, "The Blob changed while it was sent");
    },
    close: async () => undefined,
  };
}

/** Reading it closes it at its end; a stream that isn't read is closed with this source. */
function streamSource(stream: unknown, itemsOf: () => AsyncIterable<unknown>): FileSource {
  let isRead = false;
  return {
    name: undefined,
    bytes: null,
    modifiedMs: null,
    key: null,
    async *chunks() {
      isRead = true;
      for await (const item of itemsOf()) {
        if (!(item instanceof Uint8Array)) {
          throw new ConduitError(ErrorCode.INVALID_TYPE, "A stream to upload must have chunks of type Uint8Array");
        }
        for (let at = 0; at < item.length; at += CHUNK_BYTES) yield item.subarray(at, at + CHUNK_BYTES);
      }
    },
    mustBeUnchanged: async () => undefined,
    async close() {
      if (!isRead) await closeSource(stream);
    },
  };
}

async function* chunksOfStream(stream: ReadableStream<unknown>): AsyncGenerator<unknown, undefined> {
  const reader = stream.getReader();
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      isOver = done === true;
      if (isOver) return;
      yield value;
    }
  } finally {
    if (!isOver) await reader.cancel();
  }
}
