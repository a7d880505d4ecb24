/**
 * A peer that sends arbitrary bytes, over an in-memory stream or a socket. It can misbehave in ways that our clients
 * and servers can't.
 */
import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { EventLog } from "./event-log.ts";
import { gate } from "./gate.ts";
import {
  call,
  FrameParser,
  frame,
  type HeaderFields,
  message,
  type ReceivedFrame,
  Type,
  typeName,
} from "./raw-frames.ts";
import { passwordHash, ScramClient } from "./scram-by-rfc.ts";

/** The stream of a raw peer. It must not deliver data before `open`. */
export type RawStream = Pick<ByteStream, "open" | "write" | "pause" | "resume" | "close" | "destroy">;

/** How a raw peer logs in. */
export interface RawLogin {
  readonly password: string;
  /** Extensions to offer, or their names. Default: all without parameters. Null: none, as netconduit's own peers. */
  readonly extensions?: readonly string[] | Readonly<Record<string, unknown>> | null;
  /** Log in by netconduit's hash of the password. Default false. */
  readonly passwordHash?: boolean;
  readonly info?: Readonly<Record<string, unknown>>;
}

/** All extensions without parameters. A raw peer without `credit` may send and receive as much as it likes. */
export const EXTENSIONS: readonly string[] = ["reply", "close", "cancel", "deadline", "call", "compression"];

export class RawPeer<S extends RawStream = RawStream> implements ByteSink {
  readonly stream: S;
  /** All frames received. */
  readonly frames = new EventLog<ReceivedFrame>();
  /** Lengths of the chunks received. */
  readonly chunks: number[] = [];
  /** All chunks sent. */
  readonly sent: Buffer[] = [];
  /** Undefined while the stream is open; then `null` for a clean end, or its error. */
  ended: Error | null | undefined = undefined;
  /** Resolves when the stream has ended: with `"end"` after a clean end, or with the code of its error. */
  readonly over: Promise<string>;
  readonly #over = gate<string>();
  readonly #parser = new FrameParser();
  readonly #settle: (() => Promise<void>) | null;
  /** Frames that `next` hasn't returned yet. */
  readonly #pending: ReceivedFrame[] = [];

  /**
   * @param settle resolves when all activity has settled. With it, `next` rejects if no frame has arrived by then;
   *   without it, `next` waits.
   */
  constructor(stream: S, settle: (() => Promise<void>) | null = null) {
    this.stream = stream;
    this.#settle = settle;
    this.over = this.#over.promise;
    stream.open(this);
  }

  // --- ByteSink -----------------------------------------------------------------------------------------------------

  data(chunk: Uint8Array): void {
    this.chunks.push(chunk.length);
    for (const received of this.#parser.push(chunk)) {
      this.#pending.push(received);
      this.frames.add(received);
    }
  }

  drained(): void {
    // A raw peer ignores back-pressure.
  }

  closed(error: Error | null): void {
    this.ended = error;
    this.#over.open(error === null ? "end" : String((error as { code?: unknown }).code ?? error.message));
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** Sends all parts in one write. */
  write(...parts: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(parts);
    this.sent.push(bytes);
    this.stream.write(bytes);
  }

  send(type: number, payload?: unknown, fields?: HeaderFields): void {
    this.write(frame(type, payload, fields));
  }

  call(method: string, params: unknown = {}, id: number | bigint = 1): void {
    this.write(call(id, method, params));
  }

  message(type: string, data: unknown = null, id: number | bigint = 0): void {
    this.write(message(type, data, id));
  }

  /** Stops reading. */
  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  /** Sends FIN after all written data. */
  end(): void {
    void this.stream.close();
  }

  /** RST. */
  reset(): void {
    this.stream.destroy(null);
  }

  /** Closes the connection if it is open. */
  async dispose(): Promise<void> {
    if (this.ended === undefined) this.reset();
    await this.over;
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /** Skips to the next frame of a type; without a type, to the next one other than HEARTBEAT_PING. */
  async next(type?: number): Promise<ReceivedFrame> {
    const isWanted = (one: ReceivedFrame): boolean =>
      type === undefined ? one.type !== Type.HEARTBEAT_PING : one.type === type;
    await this.#settle?.();
    for (;;) {
      const count = this.frames.all.length;
      const index = this.#pending.findIndex(isWanted);
      if (index >= 0) return this.#pending.splice(0, index + 1)[index] as ReceivedFrame;
      if (this.#settle !== null) break;
      await this.frames.count(count + 1);
    }
    const wanted = type === undefined ? "frame" : typeName({ type });
    const instead = this.#pending.map(typeName).join(", ") || "nothing";
    throw new Error(`No ${wanted} arrived, but ${instead} (ended: ${String(this.ended)})`);
  }

  /** All frames that `next` hasn't returned. With `settle`, waits until all activity has settled. */
  async received(): Promise<ReceivedFrame[]> {
    await this.#settle?.();
    return this.#pending.splice(0);
  }

  /** The type names of `received`. */
  async receivedTypes(): Promise<string[]> {
    return (await this.received()).map(typeName);
  }

  // --- login --------------------------------------------------------------------------------------------------------

  /** Sends AUTH_REQUEST. Returns this side of SCRAM. */
  requestLogin(login: RawLogin): ScramClient {
    const { password, info = { name: "raw", version: "1.0.0" } } = login;
    const scram = new ScramClient(password);
    const proof =
      login.passwordHash === true ? { password_hash: passwordHash(password) } : { scram: scram.clientFirst };
    this.send(Type.AUTH_REQUEST, { client_info: info, ...proof, ...extensionsOf(login.extensions) });
    return scram;
  }

  /** Waits for AUTH_CHALLENGE and sends AUTH_RESPONSE. */
  async answerChallenge(scram: ScramClient): Promise<void> {
    const { data } = payloadOf(await this.next(), Type.AUTH_CHALLENGE);
    this.send(Type.AUTH_RESPONSE, { data: scram.answer(data as string) });
  }

  /** Logs in. Returns the payload of AUTH_SUCCESS. */
  async login(login: RawLogin): Promise<Readonly<Record<string, unknown>>> {
    const scram = this.requestLogin(login);
    if (login.passwordHash !== true) await this.answerChallenge(scram);
    const success = payloadOf(await this.next(), Type.AUTH_SUCCESS);
    if (login.passwordHash !== true && !scram.trusts(success["scram"] as string)) {
      throw new Error("The server did not prove that it knows the password");
    }
    return success;
  }
}

function payloadOf(received: ReceivedFrame, type: number): Readonly<Record<string, unknown>> {
  if (received.type === type) return received.payload ?? {};
  throw new Error(`The login was answered by ${typeName(received)}: ${JSON.stringify(received.payload)}`);
}

/** The entry `extensions` of AUTH_REQUEST or AUTH_SUCCESS. */
export function extensionsOf(extensions: RawLogin["extensions"] = EXTENSIONS): Record<string, unknown> {
  if (extensions === null) return {};
  return { extensions: isList(extensions) ? Object.fromEntries(extensions.map((name) => [name, true])) : extensions };
}

function isList(extensions: NonNullable<RawLogin["extensions"]>): extensions is readonly string[] {
  return Array.isArray(extensions);
}
