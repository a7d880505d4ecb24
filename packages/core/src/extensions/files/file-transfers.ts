import type { RuntimeContext } from "../../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import type { FileAccess } from "../../util/file-access.ts";
import { toHex } from "../../util/hex.ts";
import { CallbackTimer } from "../../util/time.ts";
import { HashMemory } from "./hash-memory.ts";
import type { PartialFile, ReceiverContext } from "./partial-file.ts";
import { PeerPlaces } from "./peer-places.ts";
import { TransferIds } from "./transfer-ids.ts";

const RANDOM_BYTES = 16;
/** On many systems, a process can open about a thousand files, including sockets. */
const MAX_OPEN_FILES = 64;
/** Connections use at most four fifths of a process's descriptors; the rest is a quarter of that number. */
const FILES_SHARE = 0.25;
/** A running list holds the names of all files in its folder. */
const MAX_LISTS = 4;

/** State shared by all transfers on a runtime, because several servers and clients may use the same folder. */
export class FileTransfers implements ReceiverContext {
  readonly files: FileAccess;
  readonly memory: HashMemory = new HashMemory();
  readonly active: Map<string, PartialFile> = new Map();
  readonly ids: TransferIds = new TransferIds(() => this.randomHex());
  /** Limits the number of open files of a peer's transfers. */
  readonly openFiles: PeerPlaces = new PeerPlaces(MAX_OPEN_FILES);
  /** Limits the number of a peer's running lists. */
  readonly lists: PeerPlaces = new PeerPlaces(MAX_LISTS);
  readonly #context: RuntimeContext;

  constructor(context: RuntimeContext, files: FileAccess) {
    this.#context = context;
    this.files = files;
  }

  /** A server is listening. @param maxSockets how many sockets the process has descriptors for */
  boundBy(maxSockets: number): void {
    this.openFiles.maxAll = Math.max(1, Math.floor(maxSockets * FILES_SHARE));
  }

  now(): number {
    return this.#context.runtime.now();
  }

  /** Waits without keeping the process running. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#context.wheel.schedule(new CallbackTimer(resolve), delayMs));
  }

  /** Schedules a timer, replacing an earlier schedule. Doesn't keep the process running. */
  schedule(timer: CallbackTimer, delayMs: number): void {
    this.#context.wheel.schedule(timer, delayMs);
  }

  cancel(timer: CallbackTimer): void {
    this.#context.wheel.cancel(timer);
  }

  wallClock(): number {
    return this.#context.runtime.wallClock();
  }

  randomHex(): string {
    return toHex(this.#context.runtime.crypto.randomBytes(RANDOM_BYTES));
  }
}

const transfers = new WeakMap<RuntimeContext, FileTransfers>();

/** @throws ConduitError INVALID_CONFIG if the runtime has no files */
export function fileTransfersOf(context: RuntimeContext): FileTransfers {
  let known = transfers.get(context);
  if (known === undefined) {
    const { name, files } = context.runtime;
    if (files === undefined) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `Cannot use files: the runtime '${name}' has no file access`);
    }
    known = new FileTransfers(context, files);
    transfers.set(context, known);
  }
  return known;
}
