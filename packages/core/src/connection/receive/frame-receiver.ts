/**
 * Turns the chunks of one connection into frames, and hands them on.
 *
 * Until the login is over, frames go to `handshakeFrame` one at a time: the next one waits until the promise settles.
 */

import { asConduitError, ConduitError, ErrorCode } from "../../errors.ts";
import { MAX_HANDSHAKE_BYTES } from "../../limits.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { FrameTypes } from "../../wire/frame-types.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import type { RuntimeContext } from "../runtime-context.ts";

/** The receiver's connection. */
export interface ReceiverHost {
  readonly context: RuntimeContext;
  readonly role: "server" | "client";
  readonly reader: PayloadReader;
  readonly isAuthenticated: boolean;
  readonly isOver: boolean;
  /** Frames still matter: the connection is not ending. */
  readonly isReceiving: boolean;
  readonly isReading: boolean;
  /** Bytes arrived. */
  recordReceive(count: number): void;
  handshakeFrame(type: number, payload: Record<string, unknown> | null): Promise<void>;
  /** A frame after login. Throws what ends the connection. */
  frame(frame: FrameDecoder): void;
  stopReading(): void;
  startReading(): void;
  /** Ends the connection for this reason. */
  fail(error: ConduitError): void;
  /** The stream ended in order, and its last frame has been worked on. */
  streamEnded(): void;
}

export class FrameReceiver {
  readonly #host: ReceiverHost;
  readonly #decoder: FrameDecoder;
  #isHandshaking = false;
  #isPumping = false;
  /** The stream ended in order while a handshake frame was being worked on. */
  #hasEnded = false;

  constructor(host: ReceiverHost, types: FrameTypes) {
    this.#host = host;
    this.#decoder = new FrameDecoder(MAX_HANDSHAKE_BYTES, types, host.context.receiveMemory);
  }

  /** A handshake frame is being worked on. */
  get isHandshaking(): boolean {
    return this.#isHandshaking;
  }

  /** From now on frames may be of this size. */
  set maxPayloadBytes(bytes: number) {
    this.#decoder.maxPayloadBytes = bytes;
  }

  readTarget(): Uint8Array | null {
    return this.#host.isReceiving ? this.#decoder.readTarget() : null;
  }

  bytesRead(count: number): void {
    const { context } = this.#host;
    context.beginReceive();
    try {
      this.#host.recordReceive(count);
      if (!this.#host.isReceiving) return;
      this.#decoder.bytesRead(count);
      this.pump();
    } finally {
      context.endReceive();
    }
  }

  data(chunk: Uint8Array): void {
    const { context } = this.#host;
    context.beginReceive();
    try {
      this.#host.recordReceive(chunk.length);
      // While closing, data is read only so that FIN can be seen.
      if (!this.#host.isReceiving) return;
      this.#decoder.push(chunk);
      this.pump();
      // The chunk's memory goes back to the stream.
      this.#decoder.keepRest();
      if (!this.#host.isAuthenticated && this.#decoder.bufferedBytes > 2 * MAX_HANDSHAKE_BYTES) {
        this.#rejectPreLoginOverflow();
      }
    } finally {
      context.endReceive();
    }
  }

  /** The stream ended in order. @returns whether that takes effect now; else `streamEnded` follows */
  end(): boolean {
    // The peer's last frame, a refusal perhaps, says more than the end of the stream.
    this.#hasEnded = this.#isHandshaking && this.#host.isReceiving;
    return !this.#hasEnded;
  }

  /** Decodes as far as reading, the login and the connection's state allow. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    const host = this.#host;
    const decoder = this.#decoder;
    try {
      while (host.isReading && !this.#isHandshaking && host.isReceiving && decoder.next()) {
        if (host.isAuthenticated) host.frame(decoder);
        else void this.#handshake(decoder.type, host.reader.readMap(decoder, MAX_HANDSHAKE_BYTES));
      }
    } catch (error) {
      host.fail(asConduitError(error));
    } finally {
      this.#isPumping = false;
      decoder.leaveFrame();
    }
  }

  async #handshake(type: number, payload: Record<string, unknown> | null): Promise<void> {
    const host = this.#host;
    this.#isHandshaking = true;
    try {
      await host.handshakeFrame(type, payload);
    } catch (error) {
      host.fail(asConduitError(error));
      return;
    }
    this.#isHandshaking = false;
    if (!host.isOver) host.startReading();
    this.pump();
    if (this.#hasEnded && !this.#isHandshaking) host.streamEnded();
  }

  #rejectPreLoginOverflow(): void {
    if (this.#host.role === "client" && this.#isHandshaking) {
      // A server may send right behind its AUTH_SUCCESS; that waits until the login has been checked.
      this.#host.stopReading();
      return;
    }
    const message = `More than ${2 * MAX_HANDSHAKE_BYTES} bytes before login`;
    this.#host.fail(new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message));
  }
}
