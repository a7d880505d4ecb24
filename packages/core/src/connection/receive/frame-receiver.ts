/**
 * Splits the chunks of one connection into frames and dispatches them.
 *
 * Until the login is complete, frames go to `handshakeFrame` one at a time: each waits until the previous promise
 * settles.
 */

import type { RuntimeContext } from "../../context/runtime-context.ts";
import { asConduitError, ConduitError, ErrorCode } from "../../errors.ts";
import { MAX_HANDSHAKE_BYTES } from "../../limits.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { FrameTypes } from "../../wire/frame-types.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";

/** The receiver's connection. */
export interface ReceiverHost {
  readonly context: RuntimeContext;
  readonly role: "server" | "client";
  readonly reader: PayloadReader;
  readonly isAuthenticated: boolean;
  readonly isOver: boolean;
  /** Whether frames are still processed, because the connection isn't closing. */
  readonly isReceiving: boolean;
  readonly isReading: boolean;
  /** Bytes arrived. */
  recordReceive(count: number): void;
  handshakeFrame(type: number, payload: Record<string, unknown> | null): Promise<void>;
  /** Handles a frame after login. Throws errors that end the connection. */
  frame(frame: FrameDecoder): void;
  stopReading(): void;
  startReading(): void;
  /** Ends the connection with this error. */
  fail(error: ConduitError): void;
  /** The stream ended normally, and its last frame was processed. */
  streamEnded(): void;
}

export class FrameReceiver {
  readonly #host: ReceiverHost;
  readonly #decoder: FrameDecoder;
  #isHandshaking = false;
  #isPumping = false;
  /** Whether the stream ended normally while a login frame was being processed. */
  #hasEnded = false;

  constructor(host: ReceiverHost, types: FrameTypes) {
    this.#host = host;
    this.#decoder = new FrameDecoder(MAX_HANDSHAKE_BYTES, types, host.context.receiveMemory);
  }

  /** Whether a login frame is being processed. */
  get isHandshaking(): boolean {
    return this.#isHandshaking;
  }

  /** Sets the maximum payload size from now on. */
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
      // While closing, data is only read to detect the FIN.
      if (!this.#host.isReceiving) return;
      this.#decoder.push(chunk);
      this.pump();
      // The stream reuses the chunk's memory.
      this.#decoder.keepRest();
      if (!this.#host.isAuthenticated && this.#decoder.bufferedBytes > 2 * MAX_HANDSHAKE_BYTES) {
        this.#rejectPreLoginOverflow();
      }
    } finally {
      context.endReceive();
    }
  }

  /** The stream ended normally. Returns whether that takes effect now; otherwise `streamEnded` follows. */
  end(): boolean {
    // Process frames that are buffered first: if the last one rejects the login, it has the reason.
    this.#hasEnded = this.#isHandshaking && this.#host.isReceiving && this.#decoder.bufferedBytes > 0;
    return !this.#hasEnded;
  }

  /** Decodes frames as far as reading, the login and the connection's state allow. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    const host = this.#host;
    const decoder = this.#decoder;
    try {
      while (host.isReading && !this.#isHandshaking && host.isReceiving && decoder.next()) {
        if (host.isAuthenticated) host.frame(decoder);
        else void this.#handshake(decoder.type, this.#loginPayload(decoder));
      }
    } catch (error) {
      host.fail(asConduitError(error));
    } finally {
      this.#isPumping = false;
      decoder.leaveFrame();
    }
  }

  /** Null if there is none, or, at a server, if it isn't a valid map: the client is told by AUTH_FAILURE. */
  #loginPayload(decoder: FrameDecoder): Record<string, unknown> | null {
    try {
      return this.#host.reader.readMap(decoder, MAX_HANDSHAKE_BYTES);
    } catch (error) {
      if (this.#host.role === "client") throw error;
      return null;
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
      // Frames right after the server's AUTH_SUCCESS wait until the login is verified.
      this.#host.stopReading();
      return;
    }
    const message = `More than ${2 * MAX_HANDSHAKE_BYTES} bytes before login`;
    this.#host.fail(new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message));
  }
}
