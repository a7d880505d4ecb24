import { ScramClient } from "../auth/scram.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { KnownOptions } from "../util/known-options.ts";
import { frame, type HeaderFields, Type, type TypeName, typeNumber } from "./raw-frames.ts";
import { extensionsOf, payloadOf, type RawExtensions, RawPeer } from "./raw-peer.ts";

/** How a {@link RawClient} logs in. */
export interface RawClientLogin {
  /** Default: the network's password. A wrong password leads to a wrong answer to the server's challenge. */
  readonly password?: string | undefined;
  /** Default: none, for the shared password. */
  readonly username?: string | undefined;
  /**
   * Names of the extensions to offer, or a map with their parameters. Default: all that need no parameters. Null for
   * none, like netconduit's own clients.
   */
  readonly extensions?: RawExtensions | undefined;
  /** Default `{ name: "raw", version: "1.0.0" }`. */
  readonly info?: Readonly<Record<string, unknown>> | undefined;
}

const LOGIN = new KnownOptions<RawClientLogin>("login", {
  password: true,
  username: true,
  extensions: true,
  info: true,
});

/**
 * A client that misbehaves on demand. It sends exactly the frames and bytes that the test sends: it answers no
 * heartbeats, and neither grants nor respects credit.
 */
export class RawClient extends RawPeer<ByteStream> {
  readonly #crypto: RuntimeCrypto;
  readonly #password: string;

  /** @internal */
  constructor(stream: ByteStream, crypto: RuntimeCrypto, password: string, settle: () => Promise<void>) {
    super(stream, settle);
    this.#crypto = crypto;
    this.#password = password;
  }

  /**
   * Logs in.
   * @returns the payload of AUTH_SUCCESS
   * @throws Error with the server's answer if that isn't AUTH_SUCCESS
   */
  async login(login: RawClientLogin = {}): Promise<Readonly<Record<string, unknown>>> {
    LOGIN.check(login);
    const { password = this.#password, username, extensions, info = { name: "raw", version: "1.0.0" } } = login;
    const scram = new ScramClient(password, this.#crypto, { username });
    this.send(Type.AUTH_REQUEST, { client_info: info, scram: scram.clientFirst, ...extensionsOf(extensions) });
    const { data } = payloadOf(await this.next(), Type.AUTH_CHALLENGE);
    this.send(Type.AUTH_RESPONSE, { data: await scram.challenge(String(data)) });
    return payloadOf(await this.next(), Type.AUTH_SUCCESS);
  }

  /** Sends a frame `count` times in one write, regardless of credit. */
  flood(type: TypeName | number, payload: unknown, count: number, fields?: HeaderFields): void {
    const bytes = frame(typeNumber(type), payload, fields);
    this.write(...new Array<Uint8Array>(count).fill(bytes));
  }
}
