import assert from "node:assert/strict";
import { extensionsOf, type RawLogin, type RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { socketPeer, tlsPeer } from "../../packages/core/src/test-support/raw-socket.ts";
import { ScramClient } from "../../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, type ReceivedFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { isLoopback } from "../../packages/core/src/util/ip-address.ts";
import { Cleanups } from "../support/cleanups.ts";
import type { Login } from "./both/login.ts";
import { answerTo, frameOf, receivedBy, Skipped } from "./check.ts";
import { isReachable, outsideAddress } from "./outside.ts";

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly password: string;
  readonly tls?: ServerTls;
  /** Stops the server; missing if the runner can't. */
  readonly stop?: () => Promise<void>;
  /** Kills the server and restarts it at the same address with the same store; missing if the runner can't. */
  readonly restart?: () => Promise<void>;
}

/** The same server over TLS, with client certificates that it trusts. */
export interface ServerTls {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  /** Identifies the user `wire`. */
  readonly known: Certificate;
  /** Identifies no user. */
  readonly stranger: Certificate;
}

/** In PEM format. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Extensions offered by default. */
const OFFER = ["reply", "close", "cancel", "deadline", "call"];
/** A call id that no check uses. */
const LIST_ID = 0x00ff_0000_0000_0000n;

/** The server under test in one check. */
export class ServerUnderTest extends Cleanups {
  readonly address: ServerAddress;
  readonly #peers: RawPeer[] = [];
  #stopped: Promise<void> | null = null;

  constructor(address: ServerAddress) {
    super();
    this.address = address;
  }

  get password(): string {
    return this.address.password;
  }

  /** Connects a raw client without sending anything. */
  async dial(): Promise<RawPeer> {
    return this.#dialled(await socketPeer(this.address.port, this.address.host));
  }

  #dialled(peer: RawPeer): RawPeer {
    this.#peers.push(peer);
    this.defer(() => peer.dispose());
    return peer;
  }

  /** Like `dial`, but the client appears to be on another machine. Skips the check if the server isn't reachable that way. */
  async dialOutside(): Promise<RawPeer> {
    const { host, port } = this.address;
    const outside = isLoopback(host) ? outsideAddress() : host;
    if (outside === null || !(await isReachable(outside, port))) {
      throw new Skipped("the server can't be reached by another address than the loopback's");
    }
    return this.#dialled(await socketPeer(port, outside));
  }

  /** Connects a raw client over TLS without sending anything. Skips the check if the server has no TLS. */
  async dialTls(who: "known" | "stranger" | null): Promise<RawPeer> {
    const { tls } = this.address;
    if (tls === undefined) throw new Skipped("no TLS of the server is known");
    const { host, port, ca } = tls;
    const peer = await tlsPeer({ host, port, ca, ...(who === null ? {} : tls[who]) });
    this.defer(() => peer.dispose());
    return peer;
  }

  /** Stops the server without waiting. Skips the check if the runner can't. */
  stop(): void {
    const { stop } = this.address;
    if (stop === undefined) throw new Skipped("only the server's own tests can stop it");
    this.#stopped = stop();
  }

  /** Skips the check unless the server can be killed and restarted with its store. */
  needsRestart(): () => Promise<void> {
    const { restart } = this.address;
    if (restart === undefined) throw new Skipped("how the server is killed and started again isn't known");
    return restart;
  }

  /** Kills the server, which ends all connections, and restarts it with its store. */
  async restart(): Promise<void> {
    const restart = this.needsRestart();
    for (const peer of this.#peers.splice(0)) {
      peer.reset();
      await peer.over;
    }
    await restart();
  }

  /** Describes the received frames by connection. */
  received(): string {
    return receivedBy(this.#peers);
  }

  override async dispose(): Promise<void> {
    await super.dispose();
    await this.#stopped;
  }

  /** Logs in a raw client. */
  async login(extensions: RawLogin["extensions"] = OFFER): Promise<RawPeer> {
    const peer = await this.dial();
    await this.logInAs(peer, new ScramClient(this.password), extensionsOf(extensions));
    return peer;
  }

  /** Logs in by SCRAM with additional keys in AUTH_REQUEST. Returns the payload of AUTH_SUCCESS. */
  async logInAs(
    peer: RawPeer,
    scram: ScramClient,
    keys: Readonly<Record<string, unknown>> = { extensions: {} },
  ): Promise<Readonly<Record<string, unknown>>> {
    peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, ...keys });
    peer.write(await this.answered(peer, scram));
    const success = await frameOf(peer);
    assert.equal(success.type, Type.AUTH_SUCCESS, `The login was refused: ${JSON.stringify(success.payload)}`);
    return success.payload ?? {};
  }

  /** Logs in a raw client with these extensions. Returns it with the server's parameters for one of them. */
  async loginAs<Params>(extensions: Readonly<Record<string, unknown>>, name: string): Promise<[RawPeer, Params]> {
    const peer = await this.dial();
    const success = await this.logInAs(peer, new ScramClient(this.password), { extensions });
    return [peer, (success["extensions"] as Record<string, Params>)[name] as Params];
  }

  /** Returns the AUTH_RESPONSE to the server's challenge. */
  async answered(peer: RawPeer, scram: ScramClient): Promise<Uint8Array> {
    const challenge = await frameOf(peer);
    assert.equal(challenge.type, Type.AUTH_CHALLENGE, `No challenge came: ${JSON.stringify(challenge.payload)}`);
    return frame(Type.AUTH_RESPONSE, { data: scram.answer(String(challenge.payload?.["data"])) });
  }

  /** Logs in at a server that has this method. */
  async loginFor(method: string, extensions?: RawLogin["extensions"]): Promise<RawPeer> {
    const peer = await this.login(extensions);
    const { payload } = await this.callOn(peer, "listall", {}, LIST_ID);
    const result = (payload?.["result"] ?? {}) as Record<string, unknown>;
    const methods = (result["methods"] ?? []) as readonly { readonly name: string }[];
    if (!methods.some(({ name }) => name === method)) throw new Skipped(`the server has no method '${method}'`);
    return peer;
  }

  /** Logs in at a server that handles messages of type `wire_echo`. */
  async loginForMessages(extensions?: RawLogin["extensions"]): Promise<RawPeer> {
    const asking = await this.login({ reply: true });
    asking.message("wire_echo", null, LIST_ID);
    const { payload } = await answerTo(asking, LIST_ID);
    await asking.dispose();
    if (payload?.["code"] === 4011) throw new Skipped("the server has no message type 'wire_echo'");
    return this.login(extensions);
  }

  /** Skips the check unless the server accepts this extension, offered together with the others that it requires. */
  async needsExtension(name: string, params: unknown = true, others: Record<string, unknown> = {}): Promise<void> {
    const peer = await this.dial();
    const scram = new ScramClient(this.password);
    const { extensions } = await this.logInAs(peer, scram, { extensions: { ...others, [name]: params } });
    // A stopping server would wait for this peer.
    await peer.dispose();
    if (!Object.hasOwn((extensions ?? {}) as object, name)) throw new Skipped(`the server has no extension '${name}'`);
  }

  /** Calls a method and waits for the answer with this id. */
  async callOn(peer: RawPeer, method: string, params: unknown, id: bigint): Promise<ReceivedFrame> {
    peer.call(method, params, id);
    return answerTo(peer, id);
  }
}

/** Logs in with these extensions. Skips the check if the server doesn't accept all of them. */
export const loggedIn: Login<ServerUnderTest> = async (server, extensions) => {
  const peer = await server.dial();
  const { extensions: theirs = {} } = await server.logInAs(peer, new ScramClient(server.password), { extensions });
  const missing = Object.keys(extensions).find((name) => !Object.hasOwn(theirs as object, name));
  if (missing !== undefined) throw new Skipped(`the server has no extension '${missing}'`);
  return { peer, theirs: theirs as Record<string, unknown> };
};

/** Checks that the login is rejected with this code and the server ends the connection. */
export async function isRefused(peer: RawPeer, code: number): Promise<void> {
  const failure = await frameOf(peer);
  assert.equal(failure.type, Type.AUTH_FAILURE);
  assert.equal(
    failure.payload?.["code"],
    code,
    `AUTH_FAILURE has ${JSON.stringify(failure.payload)}, not code ${code}`,
  );
  await peer.over;
}
