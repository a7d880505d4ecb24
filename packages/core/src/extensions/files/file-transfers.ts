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
/** A process has room for a thousand open files, sockets included, on many systems. */
const MAX_OPEN_FILES = 64;
/** Connections take four fifths of a process's descriptors at most; the rest is a quarter as many. */
const FILES_SHARE = 0.25;
/** A list under way keeps the names of all files of its folder. */
const MAX_LISTS = 4;

/** State that all transfers on a runtime share: two servers, or a server and a client, may have the same folder. */
export class FileTransfers implements ReceiverContext {
  readonly files: FileAccess;
  readonly memory: HashMemory = new HashMemory();
  readonly active: Map<string, PartialFile> = new Map();
  readonly ids: TransferIds = new TransferIds(() => this.randomHex());
  /** Bounds the files that a peer's transfers have open at a time. */
  readonly openFiles: PeerPlaces = new PeerPlaces(MAX_OPEN_FILES);
  /** Bounds the lists that a peer has under way. */
  readonly lists: PeerPlaces = new PeerPlaces(MAX_LISTS);
  readonly #context: RuntimeContext;

  constructor(context: RuntimeContext, files: FileAccess) {
    this.#context = context;
    this.files = files;
  }

  /** A server listens. @param maxSockets as many connections as there are descriptors for */
  boundBy(maxSockets: number): void {
    this.openFiles.maxAll = Math.max(1, Math.floor(maxSockets * FILES_SHARE));
  }

  now(): number {
    return this.#context.runtime.now();
  }

  /** A wait that doesn't keep the process running. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#context.wheel.schedule(new CallbackTimer(resolve), delayMs));
  }

  /** Fires the timer once, also if it was scheduled before. It doesn't keep the process running. */
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
