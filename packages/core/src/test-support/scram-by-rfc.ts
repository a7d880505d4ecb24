/** Both sides of SCRAM-SHA-256 (RFC 5802, RFC 7677), implemented without the library's code. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

const GS2_HEADER = "n,,";

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] as number)));
}

/** Returns the value of attribute `name` in a message such as `r=…,s=…,i=…`. */
function attribute(text: string, name: string): string {
  const found = text.split(",").find((part) => part.startsWith(`${name}=`));
  if (found === undefined) throw new Error(`No ${name}= in ${text}`);
  return found.slice(2);
}

/** netconduit's hash of a password. */
export function passwordHash(password: string): string {
  return sha256(Buffer.from(password)).toString("hex");
}

/** Cache of derived keys, because tests log in to one server many times. */
const saltedPasswords = new Map<string, Buffer>();

function saltPassword(password: string, salt: string, iterations: number): Buffer {
  const key = JSON.stringify([password, salt, iterations]);
  let salted = saltedPasswords.get(key);
  if (salted === undefined) {
    salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), iterations, 32, "sha256");
    saltedPasswords.set(key, salted);
  }
  return salted;
}

/** The client's side of a login. */
export class ScramClient {
  readonly clientFirst: string;
  readonly #bare: string;
  readonly #password: string;
  #serverSignature = "";

  constructor(password: string, nonce: string = randomBytes(18).toString("base64"), name = "netconduit") {
    this.#password = password;
    this.#bare = `n=${name},r=${nonce}`;
    this.clientFirst = GS2_HEADER + this.#bare;
  }

  /** Returns client-final-message. */
  answer(serverFirst: string): string {
    const salted = saltPassword(this.#password, attribute(serverFirst, "s"), Number(attribute(serverFirst, "i")));
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString("base64")},r=${attribute(serverFirst, "r")}`;
    const signed = `${this.#bare},${serverFirst},${withoutProof}`;
    const proof = xor(clientKey, hmac(sha256(clientKey), signed));
    this.#serverSignature = hmac(hmac(salted, "Server Key"), signed).toString("base64");
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  /** Whether server-final-message proves that the server knows the password. */
  trusts(serverFinal: string): boolean {
    return this.#serverSignature !== "" && attribute(serverFinal, "v") === this.#serverSignature;
  }
}

/** The server's side of a login. */
export class ScramServer {
  readonly serverFirst: string;
  readonly #clientFirstBare: string;
  readonly #salted: Buffer;

  constructor(password: string, clientFirst: string, iterations = 4096) {
    const salt = randomBytes(16).toString("base64");
    this.#clientFirstBare = clientFirst.slice(GS2_HEADER.length);
    this.#salted = saltPassword(password, salt, iterations);
    const nonce = attribute(this.#clientFirstBare, "r") + randomBytes(18).toString("base64");
    this.serverFirst = `r=${nonce},s=${salt},i=${iterations}`;
  }

  /** Returns the server-final-message. Throws if the client doesn't know the password. */
  answer(clientFinal: string): string {
    const withoutProof = clientFinal.slice(0, clientFinal.lastIndexOf(",p="));
    const signed = `${this.#clientFirstBare},${this.serverFirst},${withoutProof}`;
    const clientKey = hmac(this.#salted, "Client Key");
    const proof = xor(clientKey, hmac(sha256(clientKey), signed)).toString("base64");
    if (attribute(clientFinal, "p") !== proof) throw new Error("The client does not know the password");
    return `v=${hmac(hmac(this.#salted, "Server Key"), signed).toString("base64")}`;
  }
}
