import { connect, type Socket } from "node:net";
import { connect as connectByTls } from "node:tls";
import { ErrorCode } from "@netconduit/core";
import { EXTENSIONS, extensionsOf, type RawLogin } from "../../packages/core/src/test-support/raw-peer.ts";
import { ScramClient } from "../../packages/core/src/test-support/scram-by-rfc.ts";
import { FrameParser, frame, type ReceivedFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { addressOf, PASSWORD, type Place } from "./subject.ts";

const MAGIC = Buffer.from("434e4454", "hex");
/** Enough for a CLOSE at the end of the received data. */
const TAIL_BYTES = 2048;

/** Returns the name of a code, for the table. */
export function codeNameOf(code: unknown): string {
  return Object.entries(ErrorCode).find(([, number]) => number === code)?.[0] ?? String(code);
}

/**
 * A socket that sends arbitrary bytes. After the login, it discards received data, but passes frames to `onFrame`.
 */
export class AttackSocket {
  readonly socket: Socket;
  /** How the socket ended: the code of the server's CLOSE or AUTH_FAILURE, `reset` or `hung up`. */
  readonly ended: Promise<string>;
  /** Called with frames that arrive after the login. Must be set synchronously after the login. */
  onFrame: ((received: ReceivedFrame) => void) | null = null;
  readonly #parser = new FrameParser();
  #frames: ReceivedFrame[] = [];
  #wake: (() => void) | null = null;
  #tail: Buffer = Buffer.alloc(0);
  #isLoggedIn = false;
  #isEnded = false;
  #isLost = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", () => {
      this.#isLost = true;
    });
    this.ended = new Promise((resolve) =>
      socket.once("close", () => {
        this.#isEnded = true;
        this.#wake?.();
        resolve(this.#howItEnded());
      }),
    );
  }

  static async open(place: Place, localAddress?: string): Promise<AttackSocket> {
    const socket = connect({
      ...addressOf(place),
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const opened = new AttackSocket(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("close", () => reject(new Error("refused")));
    });
    return opened;
  }

  /** Opens a TLS socket that sends records of `recordBytes`. */
  static async openByTls(place: Place, recordBytes: number): Promise<AttackSocket> {
    const socket = connectByTls({ ...addressOf(place), rejectUnauthorized: false });
    const opened = new AttackSocket(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("close", () => reject(new Error("refused")));
    });
    socket.setMaxSendFragment(recordBytes);
    return opened;
  }

  /** Creates the server's end of a connection. */
  static accepted(socket: Socket): AttackSocket {
    return new AttackSocket(socket);
  }

  get sentBytes(): number {
    return this.socket.bytesWritten;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Logs in. Later frames are discarded. */
  async logIn(password = PASSWORD, extensions: RawLogin["extensions"] = EXTENSIONS): Promise<void> {
    const scram = new ScramClient(password);
    const info = { name: "attacker", version: "1.0.0" };
    await this.write(
      frame(Type.AUTH_REQUEST, { client_info: info, scram: scram.clientFirst, ...extensionsOf(extensions) }),
    );
    const challenge = await this.next(Type.AUTH_CHALLENGE);
    await this.write(frame(Type.AUTH_RESPONSE, { data: scram.answer(challenge.payload?.["data"] as string) }));
    await this.next(Type.AUTH_SUCCESS);
    this.#isLoggedIn = true;
    this.#frames = [];
  }

  /** Resolves with the next frame, which must have this type. */
  async next(type: number): Promise<ReceivedFrame> {
    for (;;) {
      const received = this.#frames.shift();
      if (received?.type === type) return received;
      if (received !== undefined)
        throw new Error(`Got a frame of type ${received.type} instead: ${JSON.stringify(received.payload)}`);
      if (this.#isEnded) throw new Error("The socket has ended");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Writes, and waits while the server doesn't read. Rejects if the socket has ended. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isEnded) throw new Error("The socket has ended");
    if (this.socket.write(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      this.socket.once("drain", resolve);
      this.socket.once("close", () => reject(new Error("The socket has ended")));
    });
  }

  /** Stops reading. */
  pause(): void {
    this.socket.pause();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #received(chunk: Buffer): void {
    this.#tail = chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([this.#tail, chunk]);
    if (this.#tail.length > TAIL_BYTES) this.#tail = this.#tail.subarray(-TAIL_BYTES);
    if (this.#isLoggedIn) {
      if (this.onFrame !== null) for (const received of this.#parser.push(chunk)) this.onFrame(received);
      return;
    }
    this.#frames.push(...this.#parser.push(chunk));
    this.#wake?.();
  }

  #howItEnded(): string {
    const at = this.#tail.lastIndexOf(MAGIC);
    const [last] = at < 0 ? [] : new FrameParser().push(this.#tail.subarray(at));
    if (last !== undefined && (last.type === Type.CLOSE || last.type === Type.AUTH_FAILURE)) {
      return codeNameOf(last.payload?.["code"]);
    }
    return this.#isLost ? "reset" : "hung up";
  }
}
