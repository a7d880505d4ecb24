import type { ByteStream } from "../bytes/byte-stream.ts";
import { type Handle, type HandleBinding, type HandleRequest, handleError } from "./handle.ts";
import type { HandleTools } from "./handles.ts";
import { SharedBuffer, SharedReadStream } from "./shared-read-stream.ts";
import type { StreamFacts } from "./stream-facts.ts";

export type HandleStreamClass = new (handle: Handle, facts: StreamFacts) => ByteStream;

/** What a read comes to at the peer's FIN: libuv's `UV_EOF`, the same on all systems. */
const END_OF_FILE = -4095;

/** Flags of a stream. */
const READING = 1;
/** The handle knows where to read to. */
const PREPARED = 2;
/** The peer's FIN is here. */
const READ_ENDED = 4;
/** Ours is sent, once all before it is. */
const FIN_ASKED = 8;
/** It is sent. */
const FIN_SENT = 16;
/** The handle was told to close, as both are there. */
const CLOSING = 32;

/** What a handle tells its stream. */
interface HandleOwner {
  wasRead(): Uint8Array | undefined;
  gone(): void;
}

type OwnedHandle = Handle & { [owner: symbol]: HandleOwner | null | undefined };

/**
 * Where `node:net` notes whose a handle is, once one was seen that has a place for it: all of TCP do. Anything else that is
 * added to a handle takes 64 bytes.
 */
let nodesPlace: symbol | null = null;
/** Where it is noted otherwise. */
const ownPlace: symbol = Symbol("netconduit");

function own(handle: Handle, stream: HandleOwner): void {
  nodesPlace ??= Object.getOwnPropertySymbols(handle).find(({ description }) => description === "owner_symbol") ?? null;
  const place = nodesPlace !== null && nodesPlace in handle ? nodesPlace : ownPlace;
  (handle as OwnedHandle)[place] = stream;
}

function ownerOf(handle: OwnedHandle): HandleOwner | null | undefined {
  const owner = nodesPlace === null ? null : handle[nodesPlace];
  return owner ?? handle[ownPlace];
}

function onRead(this: Handle): Uint8Array | undefined {
  return ownerOf(this as OwnedHandle)?.wasRead();
}

function onClosed(this: Handle): void {
  ownerOf(this as OwnedHandle)?.gone();
}

function onWritten(this: HandleRequest, status: number): void {
  this.owner?.completed(status, false);
}

function onShutDown(this: HandleRequest, status: number): void {
  this.owner?.completed(status, true);
}

/**
 * A class of byte streams on handles, without a `net.Socket` in between: of such a socket and its two states this
 * library uses nothing, and they take 750 bytes of each connection, and leave 1,600 bytes of garbage by its first call.
 */
export function handleStreams(
  runtime: Pick<HandleTools, "errors" | "nameOf"> & { readonly binding: HandleBinding },
): HandleStreamClass {
  const { binding, errors, nameOf } = runtime;
  const { WriteWrap, ShutdownWrap, streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = binding;
  /** By size. All streams read into the same memory. */
  const buffers = new Map<number, SharedBuffer>();
  /** The one that was read into last. */
  let recent: SharedBuffer | null = null;
  /** A request that was carried out at once is as good as new. */
  let spare: HandleRequest | null = null;

  function bufferOf(size: number): SharedBuffer {
    let buffer = buffers.get(size);
    if (buffer === undefined) {
      buffer = new SharedBuffer(size);
      buffers.set(size, buffer);
    }
    return buffer;
  }

  return class HandleStream extends SharedReadStream {
    readonly #handle: Handle;
    /** Where the system reads to: to be kept from collection. */
    #target: Uint8Array | null = null;
    #flags = 0;
    /** Writes that the system has not carried out. */
    #pending = 0;

    constructor(handle: Handle, facts: StreamFacts) {
      super(facts, errors);
      this.#handle = handle;
      own(handle, this);
      handle.onread = onRead;
      handle.setNoDelay?.(true);
    }

    get queuedBytes(): number {
      return this.#pending === 0 || this.state === "destroyed" ? 0 : this.#handle.writeQueueSize;
    }

    write(bytes: Uint8Array): boolean {
      if (this.state !== "open") return false;
      const request: HandleRequest = spare ?? new WriteWrap();
      spare = null;
      const status = this.#handle.writeBuffer(request, bytes);
      if (status !== 0) {
        this.failed(handleError(nameOf(status), "write", status));
        return false;
      }
      if (state[kLastWriteWasAsync] === 0) {
        spare = request;
        return true;
      }
      request.oncomplete = onWritten;
      request.owner = this;
      request.bytes = bytes;
      this.#pending += 1;
      return this.#handle.writeQueueSize < this.highWaterMark ? true : this.mustWait();
    }

    /** For the handle: something was read, or reading has failed. */
    wasRead(): Uint8Array | undefined {
      const count = state[kReadBytesOrError] as number;
      if (count > 0) {
        // Its size is a fact of the stream, and each client has its own facts, in no cache of the processor.
        if (recent === null || recent.bytes !== this.#target) recent = bufferOf(this.highWaterMark);
        const shared = recent;
        this.hasRead(count, shared);
        const next = this.nextBuffer(shared.bytes);
        if (next === null) return undefined;
        this.#target = next;
        return this.#target;
      }
      if (count < 0) this.#readFailed(count);
      return undefined;
    }

    /** For a request: it is over. */
    completed(status: number, isShutdown: boolean): void {
      if (isShutdown) {
        this.#flags |= FIN_SENT;
        this.#closeIfDone();
        return;
      }
      this.#pending -= 1;
      if (this.state === "destroyed") return;
      if (status !== 0) this.failed(handleError(nameOf(status), "write", status));
      else if (this.#pending === 0) this.drained();
    }

    gone(): void {
      if (this.state === "open") this.lost();
      this.finish();
    }

    protected startReading(): void {
      if ((this.#flags & (READING | READ_ENDED)) !== 0) return;
      if ((this.#flags & PREPARED) === 0) {
        this.#flags |= PREPARED;
        const shared = bufferOf(this.highWaterMark).bytes;
        this.#target = this.nextBuffer(shared) ?? shared;
        this.#handle.useUserBuffer(this.#target);
      }
      this.#flags |= READING;
      const status = this.#handle.readStart();
      if (status !== 0) this.failed(handleError(nameOf(status), "read", status));
    }

    protected stopReading(): void {
      if ((this.#flags & READING) === 0) return;
      this.#flags &= ~READING;
      this.#handle.readStop();
    }

    protected shutDown(): void {
      this.#flags |= FIN_ASKED;
      const request: HandleRequest = new ShutdownWrap();
      request.oncomplete = onShutDown;
      request.owner = this;
      // That the peer has gone meanwhile is for the next read to say.
      if (this.#handle.shutdown(request) !== 0) this.completed(0, true);
    }

    protected discard(reset: boolean): void {
      const handle = this.#handle;
      const isShuttingDown = (this.#flags & (FIN_ASKED | FIN_SENT)) === FIN_ASKED;
      // A Unix socket cannot reset, nor can one that is shutting down.
      if (!reset || isShuttingDown || typeof handle.reset !== "function") handle.close(onClosed);
      // A handle that has failed to reset does not say any more that it is closed.
      else if (handle.reset(onClosed) !== 0) this.finish();
    }

    #readFailed(status: number): void {
      this.#flags &= ~READING;
      if (status !== END_OF_FILE) {
        this.failed(handleError(nameOf(status), "read", status));
        return;
      }
      this.#flags |= READ_ENDED;
      this.ended();
      this.#closeIfDone();
    }

    #closeIfDone(): void {
      const isDone = (this.#flags & (READ_ENDED | FIN_SENT | CLOSING)) === (READ_ENDED | FIN_SENT);
      if (!isDone || this.state === "destroyed") return;
      this.#flags |= CLOSING;
      this.#handle.close(onClosed);
    }
  };
}
