/**
 * A byte stream that continues over a new underlying stream when the current one is lost.
 *
 * Theory of operation. Until `keep` it passes everything through. From then on it counts received bytes, and keeps a
 * copy of sent bytes until the peer has acknowledged them. When the underlying stream ends, it is *suspended*, and
 * written bytes are kept. `attach` continues over a new stream, from the byte that the peer states, so that the
 * layers above don't notice. `leave` ends this: everything is passed through again, and the stream ends with its
 * underlying stream.
 *
 * Each underlying stream has its own `Carrier`. A replaced carrier has no owner, so that nothing from an old stream
 * is counted.
 */

import type { Address, ByteSink, ByteStream, TlsInfo } from "./byte-stream.ts";
import { SentBytes } from "./sent-bytes.ts";

/** A stream without acknowledgements is cut when the kept bytes exceed their limit by this factor. */
const EXCESS = 2;

/** The session of a {@link ResumableStream}. */
export interface SessionOwner {
  /** More bytes were received and counted. */
  received(): void;
  /** The kept bytes use more memory. */
  keptMore(): void;
  /** Too many bytes are kept, because the peer doesn't acknowledge them. */
  overflowed(): void;
  /** The stream was lost. Returns whether to keep the session and wait for a new stream. */
  lost(error: Error | null): boolean;
}

/** An underlying stream of a {@link ResumableStream}. */
export class Carrier implements ByteSink {
  readonly stream: ByteStream;
  owner: ResumableStream | null;
  /** Whether the stream has ended. */
  hasEnded = false;
  #error: Error | null = null;

  constructor(stream: ByteStream, owner: ResumableStream) {
    this.stream = stream;
    this.owner = owner;
  }

  data(chunk: Uint8Array): void {
    this.owner?.arrived(chunk);
  }

  drained(): void {
    this.owner?.streamDrained();
  }

  closed(error: Error | null): void {
    this.hasEnded = true;
    this.#error = error;
    this.owner?.streamClosed(error);
  }

  get error(): Error | null {
    return this.#error;
  }
}

export class ResumableStream implements ByteStream {
  /** The current or last underlying stream. */
  #stream: ByteStream;
  #carrier: Carrier | null;
  #sink: ByteSink | null = null;
  /** Null before `keep`, and after `leave`. */
  #session: { readonly owner: SessionOwner; readonly keepBytes: number } | null = null;
  #isOver = false;
  readonly #sent = new SentBytes();
  #received = 0;
  #isPaused = false;
  #keepsRunning = true;
  /** Whether the underlying stream accepts nothing until it has drained. */
  #isFull = false;
  #owesDrained = false;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#carrier = new Carrier(stream, this);
  }

  get local(): Address {
    return this.#stream.local;
  }

  get remote(): Address {
    return this.#stream.remote;
  }

  get tls(): TlsInfo | null {
    return this.#stream.tls;
  }

  get queuedBytes(): number {
    return this.#carrier?.stream.queuedBytes ?? 0;
  }

  /** Whether it survives the loss of the underlying stream. */
  get hasSession(): boolean {
    return this.#session !== null;
  }

  /** Whether it waits for a new stream. */
  get isSuspended(): boolean {
    return this.#carrier === null && !this.#isOver;
  }

  /** Bytes received since `keep`. */
  get received(): number {
    return this.#received;
  }

  /** Unacknowledged bytes sent since `keep`. */
  get sent(): Pick<SentBytes, "length" | "capacity" | "acknowledged" | "end" | "isPossible" | "writes"> {
    return this.#sent;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    this.#carrier?.stream.open(this.#carrier);
  }

  /**
   * Starts counting.
   * @param keepBytes number of kept bytes from which senders wait for acknowledgements
   * @param received number of the session's bytes already received
   */
  keep(owner: SessionOwner, keepBytes: number, received: number): void {
    this.#session = { owner, keepBytes };
    this.#received = received;
  }

  /** Ends the session once everything has been sent: stops keeping bytes and waiting for acknowledgements. */
  leave(): void {
    this.#session = null;
    this.#sent.clear();
    this.#tellDrained();
  }

  write(bytes: Uint8Array): boolean {
    const carrier = this.#carrier;
    const session = this.#session;
    if (session === null) return this.#pass(carrier, bytes);
    const { capacity } = this.#sent;
    const isWithin = this.#pass(carrier, this.#sent.append(bytes)) && this.#sent.length < session.keepBytes;
    if (!isWithin) this.#owesDrained = true;
    if (this.#sent.capacity > capacity) session.owner.keptMore();
    if (this.#sent.length > EXCESS * session.keepBytes + bytes.length) session.owner.overflowed();
    return isWithin;
  }

  #pass(carrier: Carrier | null, bytes: Uint8Array): boolean {
    if (carrier === null) return !this.#isOver;
    if (carrier.stream.write(bytes)) return true;
    this.#isFull = true;
    this.#owesDrained = true;
    return false;
  }

  pause(): void {
    this.#isPaused = true;
    this.#carrier?.stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#carrier?.stream.resume();
  }

  async close(): Promise<void> {
    this.#session = null;
    if (this.#carrier === null) this.#endLater(null);
    else await this.#carrier.stream.close();
  }

  destroy(reason: Error | null): void {
    this.#session = null;
    if (this.#carrier === null) this.#endLater(reason);
    else this.#carrier.stream.destroy(reason);
  }

  ref(): void {
    this.#keepsRunning = true;
    this.#carrier?.stream.ref?.();
  }

  unref(): void {
    this.#keepsRunning = false;
    this.#carrier?.stream.unref?.();
  }

  // --- session ------------------------------------------------------------------------------------------------------

  /** The peer has received this many bytes since `keep`. Returns false if that isn't possible. */
  acknowledge(received: number): boolean {
    if (!this.#sent.acknowledge(received)) return false;
    this.#tellDrained();
    return true;
  }

  /** Drops an underlying stream that no longer works, and waits for a new one. */
  cut(error: Error): void {
    const carrier = this.#carrier;
    if (carrier === null || this.#session === null) return;
    this.#detach(error);
    carrier.stream.destroy(error);
  }

  /** Hands over the underlying stream, and ends without notifying its sink. */
  release(): Carrier {
    const carrier = this.#carrier as Carrier;
    carrier.owner = null;
    this.#carrier = null;
    this.#session = null;
    this.#isOver = true;
    return carrier;
  }

  /**
   * Continues over a new stream.
   * @param theirReceived number of bytes that the peer has received; must be plausible
   * @param rest bytes already received over that stream
   */
  attach(carrier: Carrier, theirReceived: number, rest: Uint8Array): void {
    this.#stream = carrier.stream;
    this.#carrier = carrier;
    this.#isFull = false;
    carrier.owner = this;
    this.#sent.acknowledge(theirReceived);
    for (const bytes of this.#sent.unacknowledged()) this.#pass(carrier, bytes);
    if (this.#keepsRunning) carrier.stream.ref?.();
    else carrier.stream.unref?.();
    if (rest.length > 0) this.arrived(rest);
    if (carrier.hasEnded && carrier.owner === this) this.streamClosed(carrier.error);
    if (this.#carrier !== carrier) return;
    if (this.#isPaused) carrier.stream.pause();
    else carrier.stream.resume();
    this.#tellDrained();
  }

  // --- for carriers -------------------------------------------------------------------------------------------------

  arrived(chunk: Uint8Array): void {
    this.#received += chunk.length;
    this.#sink?.data(chunk);
    this.#session?.owner.received();
  }

  streamDrained(): void {
    this.#isFull = false;
    this.#tellDrained();
  }

  streamClosed(error: Error | null): void {
    if (this.#session !== null) this.#detach(error);
    else this.#end(error);
  }

  #detach(error: Error | null): void {
    const { owner } = this.#session as { readonly owner: SessionOwner };
    if (this.#carrier !== null) this.#carrier.owner = null;
    this.#carrier = null;
    this.#isFull = false;
    if (owner.lost(error)) this.#tellDrained();
    else this.#end(error);
  }

  #tellDrained(): void {
    if (!this.#owesDrained || this.#isFull || this.#isOver) return;
    if (this.#session !== null && this.#sent.length >= this.#session.keepBytes) return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  #endLater(error: Error | null): void {
    void Promise.resolve().then(() => this.#end(error));
  }

  #end(error: Error | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session = null;
    this.#sent.clear();
    this.#sink?.closed(error);
  }
}
