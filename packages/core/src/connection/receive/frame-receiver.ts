/**
 * Splits the chunks of one connection into frames and dispatches them.
 *
 * Until the login is complete, frames are passed to `login` one at a time: each waits until the previous one has been
 * processed.
 *
 * A busy connection works for one slice of an event loop turn. Then its stream pauses and it waits in the
 * `TurnQueue`, so that other connections are served in between.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import type { RuntimeContext } from "../../context/runtime-context.ts";
import type { Continuable } from "../../context/turn-queue.ts";
import { asConduitError, ConduitError, ErrorCode } from "../../errors.ts";
import { MAX_HANDSHAKE_BYTES } from "../../limits.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { FrameTypes } from "../../wire/frame-types.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import { workBytes } from "./queued-frame.ts";
import type { ReadControl } from "./read-control.ts";

/** A login in progress. */
export interface ConnectionLogin {
  /** Handles a login frame. If it returns a promise, later frames wait until that settles. */
  receive(type: number, payload: Record<string, unknown> | null): void | Promise<void>;
}

/** The receiver's connection. */
export interface ReceiverHost {
  readonly context: RuntimeContext;
  readonly role: "server" | "client";
  readonly reader: PayloadReader;
  readonly stream: Pick<ByteStream, "pause" | "resume">;
  readonly isAuthenticated: boolean;
  readonly isOver: boolean;
  /** Whether frames are still processed, because the connection isn't closing. */
  readonly isReceiving: boolean;
  readonly isReading: boolean;
  /** Whether reading has stopped because the peer is over its rate limit. */
  readonly isThrottled: boolean;
  readonly reading: ReadControl;
  /** Bytes arrived now, in monotonic milliseconds. */
  recordReceive(count: number, nowMs: number): void;
  /** Null when the login is complete. */
  readonly login: ConnectionLogin | null;
  /** Handles a frame after login. Throws errors that end the connection. */
  frame(frame: FrameDecoder): void;
  /** Updates the count of held bytes after a change. */
  countHeldBytes(): void;
  /** Ends the connection with this error. */
  fail(error: ConduitError): void;
  /** The stream ended normally, and its last frame was processed. */
  streamEnded(): void;
}

export class FrameReceiver implements Continuable {
  readonly #host: ReceiverHost;
  readonly #types: FrameTypes;
  /** Null while there are no undecoded bytes. */
  #decoder: FrameDecoder | null = null;
  #maxPayloadBytes: number = MAX_HANDSHAKE_BYTES;
  #cutFrames = 0;
  #isHandshaking = false;
  #isPumping = false;
  /** Whether it waits for its next slice. */
  #isWaiting = false;
  /** Whether the stream ended normally before all frames were processed. */
  #hasEnded = false;

  constructor(host: ReceiverHost, types: FrameTypes) {
    this.#host = host;
    this.#types = types;
  }

  /** Whether a login frame is being processed. */
  get isHandshaking(): boolean {
    return this.#isHandshaking;
  }

  /** Bytes of memory held for incomplete frames. */
  get heldBytes(): number {
    return this.#decoder?.heldBytes ?? 0;
  }

  /** Number of received bytes that aren't decoded yet. */
  get undecodedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Removes and returns the bytes received after the last frame of the login. */
  takeRest(): Uint8Array {
    return this.#decoder?.takeRest() ?? new Uint8Array(0);
  }

  /** Releases memory when the connection has ended, because the application may keep it. */
  over(): void {
    this.#decoder?.forget();
  }

  /** Number of the partially received frame; 0 if there is none. */
  get incompleteFrame(): number {
    return this.#decoder?.incompleteFrame ?? 0;
  }

  /** Sets the maximum payload size of further frames. */
  set maxPayloadBytes(bytes: number) {
    this.#maxPayloadBytes = bytes;
    if (this.#decoder !== null) this.#decoder.maxPayloadBytes = bytes;
  }

  readTarget(): Uint8Array | null {
    return this.#host.isReceiving ? (this.#decoder?.readTarget() ?? null) : null;
  }

  bytesRead(count: number): void {
    const { context } = this.#host;
    context.beginReceive();
    try {
      const nowMs = context.runtime.now();
      this.#host.recordReceive(count, nowMs);
      context.slice.begin(this, nowMs, count);
      if (this.#host.isReceiving) {
        this.#decoder?.bytesRead(count);
        this.pump();
      }
    } finally {
      context.endReceive();
      if (context.slice.end()) this.#passTurn();
    }
  }

  data(chunk: Uint8Array): void {
    const { context } = this.#host;
    context.beginReceive();
    try {
      const nowMs = context.runtime.now();
      this.#host.recordReceive(chunk.length, nowMs);
      context.slice.begin(this, nowMs, chunk.length);
      // While closing, data is only read to detect the FIN, one chunk per turn, because a peer may keep sending.
      if (!this.#host.isReceiving) {
        this.#passTurn();
        return;
      }
      this.#decoder ??= context.decoders.take(this.#maxPayloadBytes, this.#types, this.#cutFrames);
      this.#decoder.push(chunk);
      this.pump();
      // The stream reuses the chunk's memory.
      this.#decoder?.keepRest();
      if (!this.#host.isAuthenticated && this.#bufferedBytes > 2 * MAX_HANDSHAKE_BYTES) {
        this.#rejectPreLoginOverflow();
      }
    } finally {
      context.endReceive();
      if (context.slice.end()) this.#passTurn();
    }
  }

  /** The stream ended normally. Returns whether that takes effect now; otherwise `streamEnded` is called later. */
  end(): boolean {
    // Process buffered frames first, because the last one may contain the reason for a rejected login.
    const host = this.#host;
    const isLeft = this.#isHandshaking || this.#isWaiting || host.isThrottled;
    this.#hasEnded = isLeft && host.isReceiving && this.#bufferedBytes > 0;
    return !this.#hasEnded;
  }

  /** Decodes frames as far as reading, the login and the connection's state allow. */
  pump(): void {
    if (this.#isPumping || this.#isWaiting) return;
    if (this.#decoder !== null) this.#decode(this.#decoder);
    if (this.#hasEnded) this.#finishIfDone();
  }

  #decode(decoder: FrameDecoder): void {
    this.#isPumping = true;
    const host = this.#host;
    try {
      while (host.isReading && !this.#isWaiting && !this.#isHandshaking && host.isReceiving && decoder.next()) {
        if (host.isAuthenticated) host.frame(decoder);
        else this.#handshake(decoder);
        if (host.context.slice.frameDone(workBytes(decoder))) this.#passTurn();
      }
    } catch (error) {
      host.fail(asConduitError(error));
    } finally {
      this.#isPumping = false;
      decoder.leaveFrame();
      if (decoder.isIdle) this.#giveBack(decoder);
    }
  }

  get #bufferedBytes(): number {
    return this.#decoder?.bufferedBytes ?? 0;
  }

  #giveBack(decoder: FrameDecoder): void {
    this.#decoder = null;
    this.#cutFrames = decoder.cutFrames;
    this.#host.context.decoders.give(decoder);
  }

  /** Continues in the next slice. */
  continueTurn(): void {
    const { context } = this.#host;
    this.#isWaiting = false;
    context.slice.beginTurn(this);
    context.beginReceive();
    try {
      this.pump();
    } finally {
      context.endReceive();
      context.slice.end();
    }
    if (!this.#isWaiting && this.#host.isReading) this.#host.stream.resume();
    this.#host.countHeldBytes();
  }

  /** Ends the slice; the next one is in a later turn. */
  #passTurn(): void {
    if (this.#isWaiting || this.#host.isOver) return;
    this.#isWaiting = true;
    this.#host.stream.pause();
    this.#host.context.turns.add(this);
  }

  /** Reports the end of the stream once all complete frames are processed. */
  #finishIfDone(): void {
    if (this.#isHandshaking || this.#isWaiting || this.#host.isThrottled) return;
    this.#hasEnded = false;
    this.#host.streamEnded();
  }

  /** Null if the payload is empty or, on a server, isn't a valid map, which is answered with AUTH_FAILURE. */
  #loginPayload(decoder: FrameDecoder): Record<string, unknown> | null {
    try {
      return this.#host.reader.readMap(decoder, MAX_HANDSHAKE_BYTES);
    } catch (error) {
      if (this.#host.role === "client") throw error;
      return null;
    }
  }

  #handshake(decoder: FrameDecoder): void {
    const judged = this.#host.login?.receive(decoder.type, this.#loginPayload(decoder));
    if (judged instanceof Promise) void this.#waitFor(judged);
  }

  async #waitFor(judged: Promise<void>): Promise<void> {
    const host = this.#host;
    this.#isHandshaking = true;
    try {
      await judged;
    } catch (error) {
      host.fail(asConduitError(error));
      return;
    }
    this.#isHandshaking = false;
    if (!host.isOver && !host.isReading) host.reading.start();
    this.pump();
  }

  #rejectPreLoginOverflow(): void {
    if (this.#host.role === "client" && this.#isHandshaking) {
      // Frames right after the server's AUTH_SUCCESS wait until the login is verified.
      this.#host.reading.stop();
      return;
    }
    const message = `More than ${2 * MAX_HANDSHAKE_BYTES} bytes before login`;
    this.#host.fail(new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message));
  }
}
