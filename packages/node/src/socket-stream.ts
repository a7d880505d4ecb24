import type { Socket } from "node:net";
import { type SocketOwner, SocketStreamBase, type StreamFacts } from "@netconduit/core/adapter";
import { errors } from "./node-error.ts";

const OWNER: unique symbol = Symbol("netconduit");

/** A socket and who hears of its events. The same listeners serve all sockets: five closures each take 400 bytes. */
type OwnedSocket = Socket & { readonly [OWNER]: SocketOwner };

/** Of sockets that are nobody's. */
export const nobody: SocketOwner = {};

/** Gives `socket` an owner in place of the one that it has. */
export function own(socket: Socket, owner: SocketOwner): void {
  const isNew = !(OWNER in socket);
  const owned = Object.assign(socket, { [OWNER]: owner });
  // From the first moment, and never removed: an "error" event without a listener ends the process.
  if (isNew) owned.on("error", onError).on("end", onEnd).on("drain", onDrain).on("close", onClose);
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this[OWNER].received?.(chunk);
}

function onDrain(this: OwnedSocket): void {
  this[OWNER].drained?.();
}

function onEnd(this: OwnedSocket): void {
  this[OWNER].ended?.();
}

function onError(this: OwnedSocket, cause: Error): void {
  this[OWNER].failed?.(cause, { answered: this.bytesRead > 0 });
}

function onClose(this: OwnedSocket): void {
  this[OWNER].gone?.();
}

/** A `tls.TLSSocket` (handshake done), or a `net.Socket`, as a byte stream. */
export class SocketStream extends SocketStreamBase {
  readonly #socket: Socket;
  /** Data comes, by the socket's "data" event, unless the socket is paused. */
  #flows = false;

  constructor(socket: Socket, facts: StreamFacts) {
    super(facts, errors);
    this.#socket = socket;
    socket.setNoDelay(true);
    own(socket, this);
  }

  get queuedBytes(): number {
    return this.state === "destroyed" ? 0 : this.#socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    const socket = this.#socket;
    socket.write(bytes);
    // Not the boolean of `socket.write`: that is false for every large write, even if the kernel took all of it.
    const queued = socket.writableLength;
    if (queued === 0) return true;
    // Node decides by its own mark whether it will emit "drain", so a lower one of ours would never be drained.
    const highWaterMark = Math.max(this.highWaterMark, socket.writableHighWaterMark);
    return queued < highWaterMark && !socket.destroyed ? true : this.mustWait();
  }

  protected startReading(): void {
    // Node's Buffer goes on as it is, without a copy or a wrapper: a Buffer is a Uint8Array, and libuv hands each
    // one over for good. Whoever slices it uses `subarray`, which means the same on both.
    if (!this.#flows) this.#socket.on("data", onData as (chunk: Buffer) => void);
    this.#flows = true;
    this.#socket.resume();
  }

  // Before it is listened to, the socket is left alone: set flowing, it would throw its data away.
  protected stopReading(): void {
    if (this.#flows) this.#socket.pause();
  }

  protected shutDown(): void {
    this.#socket.end();
  }

  // The "close" event follows.
  protected discard(reset: boolean): void {
    // Neither TLS nor Unix sockets can reset, nor one that is shutting down.
    const canReset = !this.#socket.destroyed && this.local.kind === "tcp" && this.tls === null;
    if (reset && canReset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  override failed(cause: unknown): void {
    // After our own `destroy` only a failed reset comes here, and that is the one case without a "close" event.
    if (this.state === "destroyed") this.finish();
    else super.failed(cause);
  }

  gone(): void {
    if (this.state === "open") this.lost();
    this.finish();
  }
}
