/** The payload of AUTH_SUCCESS, for logins of which all but a few texts is what it was the last time. */
import { encode } from "@msgpack/msgpack";
import { SERVER_NONCE_CHARS } from "./server-nonces.ts";

/** Bytes of a session token, which is sent in hexadecimal. */
const TOKEN_BYTES = 32;
/** `v=` and the base64 of 32 bytes. */
const SCRAM_CHARS = 46;
/** What MessagePack puts in front of a text of 32 to 255 bytes, and of a shorter one. */
const LONG_HEAD = 2;
const SHORT_HEAD = 1;
const DIGITS: Uint8Array = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));

/** What a login adds to the token and to what the server says of itself. */
export interface AcceptedPayload {
  /** The server-final-message. */
  readonly scram?: string;
  /** The challenge of the next login. */
  readonly next?: string;
  /** As `toPayload` makes them: those of two logins are the same object if they are equal. */
  readonly extensions?: Readonly<Record<string, true>>;
}

/** A payload with blanks, and where they are. */
interface Form {
  readonly extensions: object;
  readonly bytes: Uint8Array;
  readonly tokenAt: number;
  readonly scramAt: number;
  readonly nextAt: number;
}

/**
 * Encodes AUTH_SUCCESS after a login by SCRAM with the extension `advance`: once, and after that the blanks are filled
 * in. Encoding it anew each time takes twice as long and leaves 500 bytes of garbage.
 */
export class AuthSuccess {
  readonly #serverInfo: object;
  #form: Form | null = null;

  constructor(serverInfo: object) {
    this.#serverInfo = serverInfo;
  }

  /**
   * @param token a session token, one character for each byte
   * @returns the payload, good until the next call; null for another kind of login.
   */
  fill(token: string, { scram, next, extensions }: AcceptedPayload): Uint8Array | null {
    if (scram?.length !== SCRAM_CHARS || next?.length !== SERVER_NONCE_CHARS || extensions === undefined) return null;
    if (this.#form?.extensions !== extensions) this.#form = formOf(this.#serverInfo, extensions);
    const { bytes, tokenAt, scramAt, nextAt } = this.#form;
    for (let index = 0; index < TOKEN_BYTES; index += 1) {
      const byte = token.charCodeAt(index);
      bytes[tokenAt + 2 * index] = DIGITS[byte >> 4] as number;
      bytes[tokenAt + 2 * index + 1] = DIGITS[byte & 15] as number;
    }
    for (let index = 0; index < SCRAM_CHARS; index += 1) bytes[scramAt + index] = scram.charCodeAt(index);
    for (let index = 0; index < SERVER_NONCE_CHARS; index += 1) bytes[nextAt + index] = next.charCodeAt(index);
    return bytes;
  }
}

function formOf(serverInfo: object, extensions: object): Form {
  const session_token = "0".repeat(2 * TOKEN_BYTES);
  const scram = "0".repeat(SCRAM_CHARS);
  const next = "0".repeat(SERVER_NONCE_CHARS);
  const bytes = encode({ session_token, server_info: serverInfo, scram, next, extensions });
  const tokenAt = 1 + encode("session_token").length + LONG_HEAD;
  const infoBytes = encode("server_info").length + encode(serverInfo).length;
  const scramAt = tokenAt + session_token.length + infoBytes + encode("scram").length + LONG_HEAD;
  const nextAt = scramAt + scram.length + encode("next").length + SHORT_HEAD;
  return { extensions, bytes, tokenAt, scramAt, nextAt };
}
