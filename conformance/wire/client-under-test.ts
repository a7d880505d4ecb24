import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import type { TlsOptions } from "node:tls";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { socketListener, tlsListener } from "../../packages/core/src/test-support/raw-socket.ts";
import { ScramServer } from "../../packages/core/src/test-support/scram-by-rfc.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { frame, type ReceivedFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { Cleanups } from "../support/cleanups.ts";
import type { Login } from "./both/login.ts";
import { frameOf, receivedBy, Skipped } from "./check.ts";
import { outsideAddress } from "./outside.ts";

/** The raw server's password. */
export const PASSWORD = "secret";
/** The token for logins by token. */
export const TOKEN = "wire-token";

/** Variations of the client described in README.md. */
export interface ClientActs {
  /** Whether it resumes its session after losing a stream. */
  readonly resumes?: boolean;
  /** Whether it logs in by token instead of by password. */
  readonly token?: boolean;
  /** Whether it connects over TLS and logs in by certificate. */
  readonly certificate?: boolean;
  /** Address to connect to instead of 127.0.0.1. */
  readonly host?: string;
}

/** TLS options of a server that requests client certificates. */
async function tlsOptions(): Promise<TlsOptions> {
  const pem = (name: string): Promise<string> => readFile(testFile(name), "utf8");
  const [cert, key, ca] = await Promise.all(["server.crt", "server.key", "ca.crt"].map(pem));
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true } as TlsOptions;
}

/** Starts the client described in README.md and returns a function that ends it. */
export type StartClient = (port: number, acts: ClientActs) => Promise<() => Promise<void>>;

/** An AUTH_REQUEST, and the server's state for the login. */
export interface ClientLogin {
  readonly peer: RawPeer;
  readonly request: Readonly<Record<string, unknown>>;
  readonly scram: ScramServer;
}

/** The client under test in one check, connected to a raw server. */
export class ClientUnderTest extends Cleanups {
  readonly #start: StartClient;
  /** All connections made by the client. */
  readonly #peers = new EventLog<RawPeer>();

  constructor(start: StartClient) {
    super();
    this.#start = start;
  }

  /** Starts a client and resolves when it has connected. */
  async connect(acts: ClientActs = {}): Promise<RawPeer> {
    let refused: (skipped: Skipped) => void = () => undefined;
    const noTls = new Promise<never>((_resolve, reject) => {
      refused = reject;
    });
    noTls.catch(() => undefined);
    const listener = await (acts.certificate === true
      ? tlsListener(await tlsOptions(), this.#peers.add, ({ code }) => {
          if (code === "ERR_SSL_WRONG_VERSION_NUMBER") refused(new Skipped("the client doesn't speak TLS"));
        })
      : socketListener(this.#peers.add, acts.host));
    this.defer(() => listener.close());
    this.defer(async () => {
      for (const peer of this.#peers.all) await peer.dispose();
    });
    this.defer(await this.#start(listener.port, acts));
    return Promise.race([this.nextConnection(), noTls]);
  }

  /** Like `connect`, but the server appears to be on another machine. Skips the check if that isn't possible. */
  connectOutside(acts: ClientActs): Promise<RawPeer> {
    const host = outsideAddress();
    if (host === null) throw new Skipped("this machine has no address but the loopback's");
    return this.connect({ ...acts, host });
  }

  /** Resolves with the client's next connection that wasn't returned yet. */
  nextConnection(): Promise<RawPeer> {
    return this.#peers.next();
  }

  /** Describes the received frames by connection. */
  received(): string {
    return receivedBy(this.#peers.all);
  }

  /** Starts a client and resolves with its AUTH_REQUEST. */
  async request(iterations?: number): Promise<ClientLogin> {
    return requestOn(await this.connect(), iterations);
  }

  /** Starts a client and answers its login up to AUTH_SUCCESS, which is returned without being sent. */
  async answer(
    extensions?: Readonly<Record<string, unknown>>,
  ): Promise<{ peer: RawPeer; success: Uint8Array; offer: Record<string, unknown> }> {
    const login = await this.request();
    const { peer, request } = login;
    const proof = await challenged(login);
    const offer = (request["extensions"] ?? {}) as Record<string, unknown>;
    const agreed =
      extensions ??
      Object.fromEntries(
        Object.keys(offer)
          .filter(isPlainExtension)
          .map((name) => [name, true]),
      );
    return { peer, offer, success: frame(Type.AUTH_SUCCESS, { ...SUCCESS, scram: proof, extensions: agreed }) };
  }

  /** Starts a client and completes its login. */
  async login(extensions?: Readonly<Record<string, unknown>>): Promise<RawPeer> {
    const { peer, success } = await this.answer(extensions);
    peer.write(success);
    return peer;
  }

  /** Starts a client, completes its login and waits for its call. */
  async call(extensions?: Readonly<Record<string, unknown>>): Promise<{ peer: RawPeer; call: ReceivedFrame }> {
    const peer = await this.login(extensions);
    return { peer, call: await frameOf(peer, Type.RPC_REQUEST) };
  }

  /** Skips the check unless the client has this method, for which a call without parameters has no effect. */
  async needsMethod(method: string): Promise<void> {
    const { peer } = await this.call({ close: true, call: true });
    peer.call(method, {}, 1n);
    for (;;) {
      const { type, id, payload } = await frameOf(peer);
      if (payload?.["code"] === 4000) throw new Skipped(`the client has no method '${method}'`);
      if (id === 1n || type === Type.RPC_REQUEST) return;
    }
  }

  /** Skips the check unless the client offers this extension. */
  async needsExtension(name: string): Promise<void> {
    const { request } = await this.request();
    const isOffered = Object.hasOwn((request["extensions"] ?? {}) as object, name);
    if (!isOffered) throw new Skipped(`the client has no extension '${name}'`);
  }
}

/** Resolves with the AUTH_REQUEST on a connection. */
export async function requestOn(peer: RawPeer, iterations?: number): Promise<ClientLogin> {
  const first = await frameOf(peer);
  assert.equal(first.type, Type.AUTH_REQUEST);
  const request = first.payload ?? {};
  if (typeof request["scram"] !== "string") throw new Error("AUTH_REQUEST has no scram");
  return { peer, request, scram: new ScramServer(PASSWORD, request["scram"], iterations) };
}

/** Challenges a client. Returns the proof for AUTH_SUCCESS. */
export async function challenged({ peer, scram }: ClientLogin): Promise<string> {
  peer.send(Type.AUTH_CHALLENGE, { data: scram.serverFirst });
  const response = await frameOf(peer);
  assert.equal(response.type, Type.AUTH_RESPONSE);
  return scram.answer(String(response.payload?.["data"]));
}

/** Logs a client in with these extensions and waits for its call. Skips the check if it doesn't offer all of them. */
export const loggedIn: Login<ClientUnderTest> = async (client, extensions) => {
  const { peer, success, offer } = await client.answer(extensions);
  const missing = Object.keys(extensions).find((name) => !Object.hasOwn(offer, name));
  if (missing !== undefined) throw new Skipped(`the client has no extension '${missing}'`);
  peer.write(success);
  await frameOf(peer, Type.RPC_REQUEST);
  return { peer, theirs: offer };
};

export const SUCCESS = { session_token: "f".repeat(64), server_info: { name: "raw", version: "1.0.0" } };

/** Whether the extension has no parameters that the raw server would have to respect. */
function isPlainExtension(name: string): boolean {
  return ["reply", "close", "cancel", "deadline", "call"].includes(name);
}
