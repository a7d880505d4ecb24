/** The client's side of SCRAM-SHA-256, written from RFC 5802 and not from the library's own code. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

const HEADER = "n,,";

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function attribute(message: string, name: string): string {
  const found = message.split(",").find((part) => part.startsWith(`${name}=`));
  if (found === undefined) throw new Error(`No ${name}= in ${message}`);
  return found.slice(2);
}

/** One login. */
export class ScramLogin {
  readonly clientFirst: string;
  readonly #bare: string;
  readonly #password: string;
  #serverSignature = "";

  constructor(password: string, nonce: string = randomBytes(18).toString("base64")) {
    this.#password = password;
    this.#bare = `n=netconduit,r=${nonce}`;
    this.clientFirst = HEADER + this.#bare;
  }

  /** @returns client-final-message. */
  answer(serverFirst: string): string {
    const salt = Buffer.from(attribute(serverFirst, "s"), "base64");
    const salted = pbkdf2Sync(this.#password, salt, Number(attribute(serverFirst, "i")), 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const storedKey = createHash("sha256").update(clientKey).digest();
    const withoutProof = `c=${Buffer.from(HEADER).toString("base64")},r=${attribute(serverFirst, "r")}`;
    const signed = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, signed);
    const proof = clientKey.map((byte, index) => byte ^ (signature[index] as number));
    this.#serverSignature = hmac(hmac(salted, "Server Key"), signed).toString("base64");
    return `${withoutProof},p=${Buffer.from(proof).toString("base64")}`;
  }

  /** @returns client-final-message for a nonce that the server handed out at an earlier login. */
  answerAhead(serverNonce: string, earlierServerFirst: string): string {
    const parameters = `s=${attribute(earlierServerFirst, "s")},i=${attribute(earlierServerFirst, "i")}`;
    return this.answer(`r=${attribute(this.#bare, "r")}${serverNonce},${parameters}`);
  }

  /** Whether the server has proved that it knows the password. */
  trusts(serverFinal: string): boolean {
    return this.#serverSignature !== "" && attribute(serverFinal, "v") === this.#serverSignature;
  }
}
