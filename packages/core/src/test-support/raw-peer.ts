/** Raw peers that log in with an implementation of SCRAM other than the library's. */
import { Type } from "../testing/raw-frames.ts";
import {
  extensionsOf,
  payloadOf,
  type RawExtensions,
  RawPeer as RawPeerBase,
  type RawStream,
} from "../testing/raw-peer.ts";
import { passwordHash, ScramClient } from "./scram-by-rfc.ts";

export { EXTENSIONS, extensionsOf, type RawStream } from "../testing/raw-peer.ts";

/** How a raw peer logs in. */
export interface RawLogin {
  readonly password: string;
  /** Extensions to offer, or their names. Default: all without parameters. Null: none, like netconduit's own peers. */
  readonly extensions?: RawExtensions;
  /** Log in with netconduit's hash of the password. Default false. */
  readonly passwordHash?: boolean;
  readonly info?: Readonly<Record<string, unknown>>;
}

export class RawPeer<S extends RawStream = RawStream> extends RawPeerBase<S> {
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
