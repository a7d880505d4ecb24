/**
 * A byte stream that goes on over another one when the one under it is lost.
 *
 * Theory of operation. Until `keep` it passes everything through. From then on it counts the bytes that arrive, and keeps a
 * copy of those that leave until the peer has acknowledged them. When the stream under it ends, it is *suspended*: what is
 * written is kept. `attach` continues over another stream, at the byte that the peer says it has received, so whatever is
 * above notices nothing. `leave` ends that: it passes everything through again, and ends with the stream under it.
 *
 * Each stream under it has a `Carrier` of its own. A carrier that was replaced has no owner, so nothing that still comes
 * from an old stream is counted.
 */

import type { Address, ByteSink, ByteStream, TlsInfo } from "./byte-stream.ts";
import { SentBytes } from "./sent-bytes.ts";

/** A stream that doesn't acknowledge is cut when what is kept is so many times what it should be. */
const EXCESS = 2;

/** The session of a {@link ResumableStream}. */
export interface SessionOwner {
  /** More bytes have been counted. */
  received(): void;
  /** Keeping what was written takes more memory. */
  keptMore(): void;
  /** More is kept than the peer's acknowledgements allow: it gives none. */
  overflowed(): void;
  /** The stream was lost. Returns whether it is kept, to go on over another. */
  lost(error: Error | null): boolean;
}

/** One stream under a {@link ResumableStream}. */
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
  /** The last one, also when it is lost. */
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
  /** Whether the stream under it takes nothing until it has drained. */
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

  /** Whether the loss of the stream under it is survived. */
  get hasSession(): boolean {
    return this.#session !== null;
  }

  /** Whether it waits for another stream. */
  get isSuspended(): boolean {
    return this.#carrier === null && !this.#isOver;
  }

  /** Bytes received since `keep`. */
  get received(): number {
    return this.#received;
  }

  /** Bytes sent since `keep` and not acknowledged. */
  get sent(): Pick<SentBytes, "length" | "capacity" | "acknowledged" | "end" | "isPossible" | "writes"> {
    return this.#sent;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    this.#carrier?.stream.open(this.#carrier);
  }

  /**
   * Counts from now on.
   * @param keepBytes as much is kept before senders wait for acknowledgements
   * @param received bytes of the session that have arrived already
   */
  keep(owner: SessionOwner, keepBytes: number, received: number): void {
    this.#session = { owner, keepBytes };
    this.#received = received;
  }

  /** The session ends as soon as everything has left: nothing more is kept or waits for acknowledgements. */
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

  /** The peer has received so many bytes since `keep`. Returns false if that isn't possible. */
  acknowledge(received: number): boolean {
    if (!this.#sent.acknowledge(received)) return false;
    this.#tellDrained();
    return true;
  }

  /** Gives up the stream under it, which no longer works, and waits for another. */
  cut(error: Error): void {
    const carrier = this.#carrier;
    if (carrier === null || this.#session === null) return;
    this.#detach(error);
    carrier.stream.destroy(error);
  }

  /** Gives away the stream under it, and ends without a call. */
  release(): Carrier {
    const carrier = this.#carrier as Carrier;
    carrier.owner = null;
    this.#carrier = null;
    this.#session = null;
    this.#isOver = true;
    return carrier;
  }

  /**
   * Goes on over another stream.
   * @param theirReceived bytes that the peer has received; must be possible
   * @param rest bytes that have arrived over that stream already
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
