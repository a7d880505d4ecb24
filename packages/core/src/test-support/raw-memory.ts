/** Raw peers over in-memory streams: clients of a server, and a server for a client. */
import type { ByteStream } from "../bytes/byte-stream.ts";
import { frame, Type } from "../testing/raw-frames.ts";
import type { FakeRuntime } from "./fake-runtime.ts";
import { extensionsOf, type RawLogin, RawPeer } from "./raw-peer.ts";
import { ScramServer } from "./scram-by-rfc.ts";

/** The password of all in-memory servers. */
export const PASSWORD = "correct horse";

export type MemoryPeer = RawPeer<ByteStream>;

/** Creates a raw peer on an in-memory stream. */
export function memoryPeer(runtime: FakeRuntime, stream: ByteStream): MemoryPeer {
  return new RawPeer(stream, () => runtime.settle());
}

/** Dials the server at `port`. */
export async function rawDial(runtime: FakeRuntime, port: number): Promise<MemoryPeer> {
  const target = { host: "test", port, family: 0, tls: null, bufferSize: 65_536 } as const;
  return memoryPeer(runtime, await runtime.connect(target, new AbortController().signal));
}

/** Dials the server at `port` and logs in. The AUTH_SUCCESS frame is consumed. */
export async function rawClient(
  runtime: FakeRuntime,
  port: number,
  login: Partial<RawLogin> = {},
): Promise<MemoryPeer> {
  const peer = await rawDial(runtime, port);
  await peer.login({ password: PASSWORD, ...login });
  await runtime.settle();
  return peer;
}

/** How a raw server answers a login. */
export type RawAnswer = Pick<RawLogin, "extensions" | "passwordHash">;

/** A server with raw peers as its connections. */
export class RawServer {
  readonly port: number;
  /** Peers of incoming connections, in order; not logged in. */
  readonly peers: MemoryPeer[] = [];
  readonly #runtime: FakeRuntime;

  private constructor(runtime: FakeRuntime, port: number) {
    this.#runtime = runtime;
    this.port = port;
  }

  static async start(runtime: FakeRuntime, port = 8080): Promise<RawServer> {
    const server = new RawServer(runtime, port);
    await runtime.listen(
      { host: "test", port, ipv6: false, tls: null, bufferSize: 65_536 },
      {
        accepted: (stream) => server.peers.push(memoryPeer(runtime, stream)),
        failed: (error) => {
          throw error;
        },
      },
    );
    return server;
  }

  /** Resolves with the peer of the last incoming connection. */
  async accept(): Promise<MemoryPeer> {
    await this.#runtime.settle();
    const peer = this.peers.at(-1);
    if (peer === undefined) throw new Error("No client has dialled");
    return peer;
  }

  /** Performs the last login up to AUTH_SUCCESS, which it returns without sending it. */
  async answer(login: RawAnswer = {}): Promise<{ readonly peer: MemoryPeer; readonly success: Uint8Array }> {
    const peer = await this.accept();
    const request = (await peer.next(Type.AUTH_REQUEST)).payload ?? {};
    const success = { session_token: "f".repeat(64), server_info: { name: "raw", version: "1" } };
    if (login.passwordHash === true) return { peer, success: frame(Type.AUTH_SUCCESS, success) };
    const scram = new ScramServer(PASSWORD, request["scram"] as string);
    peer.send(Type.AUTH_CHALLENGE, { data: scram.serverFirst });
    const response = (await peer.next(Type.AUTH_RESPONSE)).payload ?? {};
    const proof = scram.answer(response["data"] as string);
    return {
      peer,
      success: frame(Type.AUTH_SUCCESS, { ...success, scram: proof, ...extensionsOf(login.extensions) }),
    };
  }

  /** Completes the login of the last client. */
  async admit(login: RawAnswer = {}): Promise<MemoryPeer> {
    const { peer, success } = await this.answer(login);
    peer.write(success);
    await this.#runtime.settle();
    return peer;
  }
}
