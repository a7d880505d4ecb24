/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), both roles, no I/O: messages in, messages out.
 *
 *   client-first   n,,n=user,r=<client nonce>
 *   server-first   r=<client nonce><server nonce>,s=<salt>,i=<iterations>
 *   client-final   c=biws,r=<both nonces>,p=<proof that the client knows the password>
 *   server-final   v=<proof that the server does>
 *
 * The password never crosses the wire, and what does is bound to both nonces, so no part of it works a second time.
 * Channel binding is not offered (gs2 header `n,,`): the runtimes do not all expose what it needs of TLS.
 */
import { Scratch } from "../bytes/scratch.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import type { KeyDerivation } from "./next-logins.ts";
import {
  escapeName,
  isEscapedName,
  locateAttributes,
  malformed,
  parseAttributes,
  valueEnds,
  valueStarts,
} from "./scram-attributes.ts";
import {
  constantTimeEqual,
  normalizePassword,
  parametersText,
  type ScramClientKeys,
  ScramKeyCache,
  type ScramServerKeys,
  xor,
} from "./scram-keys.ts";

export { constantTimeEqual, ScramKeyCache, ScramServerKeys, type ScramServerKeysOptions } from "./scram-keys.ts";

const GS2_HEADER = "n,,";
/** Base64 of the gs2 header: what `c=` must say. */
const CHANNEL = "biws";
const CHANNEL_KEY: string = `c=${CHANNEL},`;
/** Where the nonce stands in a client-final-message. */
const NONCE_START: number = `${CHANNEL_KEY}r=`.length;
/** What stands in front of a proof. */
const PROOF_KEY = ",p=";
/** Both messages of a client have it as their second attribute. */
const NONCE = 1;
/** 144 bits, a multiple of 3 bytes so that its base64 has no padding. */
const NONCE_BYTES = 18;
const PROOF_BYTES = 32;
const COMMA = 0x2c;

/** What is signed, some 200 bytes. */
const signedMemory = new Scratch(768);
/** For digests that are used up before the next is made. */
const digestMemory = new Uint8Array(PROOF_BYTES);
/** For a client's key, or what would be one; wiped as soon as it was used. */
const keyMemory = new Uint8Array(PROOF_BYTES);

/** Inputs of {@link ScramClient}. */
export interface ScramClientOptions {
  readonly username: string;
  readonly password: string;
  readonly crypto: RuntimeCrypto;
  /** Keys of earlier logins. Default: none are kept. */
  readonly cache?: ScramKeyCache | undefined;
  /** Printable ASCII without commas. Default: 144 random bits. Give one in tests only. */
  readonly nonce?: string | undefined;
}

/** The client's side of one login. Use it for one login only. */
export class ScramClient {
  /** The message that begins the login. */
  readonly clientFirst: string;
  /** The same without its gs2 header. */
  readonly #bare: string;
  readonly #nonce: string;
  readonly #password: string;
  readonly #crypto: RuntimeCrypto;
  readonly #cache: ScramKeyCache;
  #serverSignature: Uint8Array | null = null;
  #derivation: KeyDerivation | null = null;

  /** @throws ConduitError INVALID_CONFIG for an empty password or user name. */
  constructor(options: ScramClientOptions) {
    if (options.username === "") throw new ConduitError(ErrorCode.INVALID_CONFIG, "SCRAM username must not be empty");
    this.#password = normalizePassword(options.password);
    this.#crypto = options.crypto;
    this.#cache = options.cache ?? new ScramKeyCache();
    this.#nonce = options.nonce ?? encodeBase64(options.crypto.randomBytes(NONCE_BYTES));
    this.#bare = `n=${escapeName(options.username)},r=${this.#nonce}`;
    this.clientFirst = GS2_HEADER + this.#bare;
  }

  /** By what the last answer's keys were derived; null before the first. */
  get derivation(): KeyDerivation | null {
    return this.#derivation;
  }

  /**
   * Answers the server-first-message.
   * @returns the client-final-message.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed message or an unknown mandatory extension;
   *   SERVER_NOT_TRUSTED for a nonce that does not extend ours, and for iterations out of bounds.
   */
  async challenge(serverFirst: string): Promise<string> {
    const what = "server-first-message";
    // What an answer in advance made the server prove counts no more.
    this.#serverSignature = null;
    const [nonce = "", saltText = "", count = ""] = parseAttributes(what, serverFirst, "rsi");
    const salt = decodeBase64(saltText);
    if (!isNonce(nonce)) throw malformed(what, "the nonce is not printable ASCII");
    if (salt === null || salt.length === 0) throw malformed(what, "the salt is not base64");
    const iterations = parseIterations(what, count);
    if (nonce.length <= this.#nonce.length || !nonce.startsWith(this.#nonce)) {
      throw new ConduitError(ErrorCode.SERVER_NOT_TRUSTED, "SCRAM: the server's nonce does not extend the client's");
    }
    const derivation = { salt, saltText, iterations };
    const keys = await this.#cache.derive(this.#password, derivation, this.#crypto);
    this.#derivation = derivation;
    return this.#answer(keys, nonce, serverFirst.slice("r=".length + nonce.length));
  }

  /**
   * Answers a challenge that the server handed out at an earlier login, unless the keys for it are still to be derived.
   * @param take the server's nonce, asked for once the keys are there; null if there is none.
   * @returns the client-final-message, or null.
   */
  answerAhead(derivation: KeyDerivation, take: () => string | null): string | null | Promise<string | null> {
    const keys = this.#cache.known(this.#password, derivation, this.#crypto);
    return keys instanceof Promise
      ? keys.then((late) => this.#answerAhead(derivation, late, take))
      : this.#answerAhead(derivation, keys, take);
  }

  #answerAhead(
    derivation: KeyDerivation,
    keys: ScramClientKeys | null,
    take: () => string | null,
  ): string | null | Promise<string> {
    const serverNonce = keys === null ? null : take();
    if (keys === null || serverNonce === null) return null;
    const nonce = this.#nonce + serverNonce;
    this.#derivation = derivation;
    return this.#answer(keys, nonce, parametersText(derivation.saltText, derivation.iterations));
  }

  /** @param parameters what follows the nonce in the server-first-message */
  #answer(keys: ScramClientKeys, nonce: string, parameters: string): string | Promise<string> {
    const withoutProof = `c=${CHANNEL},r=${nonce}`;
    const signed = signedMemory
      .clear()
      .add(this.#bare)
      .add(",r=")
      .add(nonce)
      .add(parameters)
      .add(",")
      .add(withoutProof);
    const bytes = signed.bytes();
    const signature = this.#crypto.hmacSha256(keys.storedKey, bytes, digestMemory);
    if (!(signature instanceof Promise)) return this.#prove(keys, bytes, withoutProof, signature);
    const kept = bytes.slice();
    return signature.then((late) => this.#prove(keys, kept, withoutProof, late));
  }

  #prove(
    keys: ScramClientKeys,
    signed: Uint8Array,
    withoutProof: string,
    clientSignature: Uint8Array,
  ): string | Promise<string> {
    const proof = encodeBase64(xor(keys.clientKey, clientSignature, digestMemory));
    const clientFinal = `${withoutProof},p=${proof}`;
    const signature = this.#crypto.hmacSha256(keys.serverKey, signed);
    if (signature instanceof Promise) {
      return signature.then((late) => {
        this.#serverSignature = late;
        return clientFinal;
      });
    }
    this.#serverSignature = signature;
    return clientFinal;
  }

  /**
   * Checks the server-final-message. Returns only if the server has proved that it knows the password.
   * @throws ConduitError SERVER_NOT_TRUSTED for a wrong signature or a message out of turn; AUTH_FAILED for the
   *   server's `e=`; INVALID_PAYLOAD_SHAPE for a malformed message.
   */
  verify(serverFinal: string): void {
    const what = "server-final-message";
    const expected = this.#serverSignature;
    // Taken out before it is compared, so that one login cannot be finished twice.
    this.#serverSignature = null;
    if (serverFinal.startsWith("e=")) {
      throw new ConduitError(ErrorCode.AUTH_FAILED, `SCRAM: the server answers ${serverFinal.slice(0, 100)}`);
    }
    const [value = ""] = parseAttributes(what, serverFinal, "v");
    const signature = decodeBase64(value, digestMemory);
    if (signature === null) throw malformed(what, "the signature is not base64");
    if (expected === null || !constantTimeEqual(signature, expected)) {
      throw new ConduitError(
        ErrorCode.SERVER_NOT_TRUSTED,
        "SCRAM: the server did not prove that it knows the password",
      );
    }
  }
}

/** How a login ended on the server. The reason is for logs; a peer is told no more than that it failed. */
export type ScramResult =
  | { readonly ok: true; readonly serverFinal: string }
  | { readonly ok: false; readonly reason: string };

/** A client-final-message that came together with its client-first-message, for a challenge of an earlier login. */
export interface ScramAhead {
  readonly clientFirst: string;
  readonly clientFinal: string;
  /** Where, in the latter, the server's part of the nonce stands. */
  readonly serverNonceStart: number;
  readonly nonceEnd: number;
  /** Where its proof begins: base64 of 32 bytes. */
  readonly proofStart: number;
}

/** Checks the two messages. @throws ConduitError INVALID_PAYLOAD_SHAPE for malformed ones. */
export function parseAhead(clientFirst: string, clientFinal: string): ScramAhead {
  checkClientFirst(clientFirst);
  const start = valueStarts[NONCE] as number;
  const end = valueEnds[NONCE] as number;
  const proofStart = checkClientFinal(clientFinal, clientFirst, start, end, true);
  return {
    clientFirst,
    clientFinal,
    serverNonceStart: NONCE_START + end - start,
    nonceEnd: valueEnds[NONCE] as number,
    proofStart,
  };
}

/**
 * Checks a proof in advance. That its challenge is one of this server, and not used yet, is the caller's to know.
 * Rejects, or throws, only if the runtime's cryptography does.
 */
export function judgeAhead(
  keys: ScramServerKeys,
  crypto: RuntimeCrypto,
  { clientFirst, clientFinal, nonceEnd, proofStart }: ScramAhead,
): ScramResult | Promise<ScramResult> {
  const signed = signedMemory
    .clear()
    .add(clientFirst, GS2_HEADER.length)
    .add(",r=")
    .add(clientFinal, NONCE_START, nonceEnd)
    .add(keys.parameters)
    .add(",")
    .add(clientFinal, 0, proofStart - PROOF_KEY.length);
  return judge(keys, crypto, signed.bytes(), clientFinal, proofStart);
}

/** The server's side of one login. Use it for one login only. There is one password, so user names are not compared. */
export class ScramServer {
  readonly #keys: ScramServerKeys;
  readonly #crypto: RuntimeCrypto;
  readonly #ownNonce: string | undefined;
  #nonce = "";
  /** client-first-message-bare and server-first-message, once a challenge is out and until it is answered. */
  #signed: string | null = null;

  /** @param nonce the server's part; default 144 random bits. Give one in tests only. */
  constructor(keys: ScramServerKeys, crypto: RuntimeCrypto, nonce?: string) {
    this.#keys = keys;
    this.#crypto = crypto;
    this.#ownNonce = nonce;
  }

  /**
   * Answers the client-first-message.
   * @returns the server-first-message.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE for a malformed message, channel binding, another identity to act
   *   as, or an unknown mandatory extension.
   */
  first(clientFirst: string): string {
    checkClientFirst(clientFirst);
    const nonce = clientFirst.slice(valueStarts[NONCE], valueEnds[NONCE]);
    this.#nonce = nonce + (this.#ownNonce ?? encodeBase64(this.#crypto.randomBytes(NONCE_BYTES)));
    const serverFirst = `r=${this.#nonce}${this.#keys.parameters}`;
    this.#signed = `${clientFirst.slice(GS2_HEADER.length)},${serverFirst}`;
    return serverFirst;
  }

  /** Checks the client-final-message. Never throws for what a peer sent. A challenge can be answered once. */
  final(clientFinal: string): ScramResult | Promise<ScramResult> {
    const challenge = this.#signed;
    this.#signed = null;
    if (challenge === null) return { ok: false, reason: "SCRAM client-final-message refused: no challenge is open" };
    const known = this.#nonce;
    let proofStart: number;
    try {
      proofStart = checkClientFinal(clientFinal, known, 0, known.length, false);
    } catch (error) {
      if (error instanceof ConduitError) return { ok: false, reason: error.message };
      throw error;
    }
    const withoutProofEnd = proofStart - PROOF_KEY.length;
    const signed = signedMemory.clear().add(challenge).add(",").add(clientFinal, 0, withoutProofEnd);
    return judge(this.#keys, this.#crypto, signed.bytes(), clientFinal, proofStart);
  }
}

/**
 * Judges a proof, with one function for each digest, so that nothing waits for digests that are there at once. Bound
 * functions take what comes late: a closure has memory set aside for what it captures even where it is never made.
 * @param signed in memory that is used again, as is what the others are given, unless it comes late
 * @param message ends in the proof, in base64, of 32 bytes
 */
function judge(
  keys: ScramServerKeys,
  crypto: RuntimeCrypto,
  signed: Uint8Array,
  message: string,
  proofStart: number,
): ScramResult | Promise<ScramResult> {
  const signature = crypto.hmacSha256(keys.storedKey, signed, digestMemory);
  if (!(signature instanceof Promise)) return judgeSignature(keys, crypto, signed, message, proofStart, signature);
  return signature.then(judgeSignature.bind(null, keys, crypto, signed.slice(), message, proofStart));
}

function judgeSignature(
  keys: ScramServerKeys,
  crypto: RuntimeCrypto,
  signed: Uint8Array,
  message: string,
  proofStart: number,
  clientSignature: Uint8Array,
): ScramResult | Promise<ScramResult> {
  // That it is as long as this memory was checked when it was parsed.
  decodeBase64(message, keyMemory, proofStart);
  const storedKey = crypto.sha256(xor(clientSignature, keyMemory, keyMemory), digestMemory);
  keyMemory.fill(0);
  if (!(storedKey instanceof Promise)) return judgeKey(keys, crypto, signed, storedKey);
  return storedKey.then(judgeKey.bind(null, keys, crypto, signed.slice()));
}

function judgeKey(
  keys: ScramServerKeys,
  crypto: RuntimeCrypto,
  signed: Uint8Array,
  storedKey: Uint8Array,
): ScramResult | Promise<ScramResult> {
  if (!constantTimeEqual(storedKey, keys.storedKey)) return { ok: false, reason: "Invalid password" };
  const signature = crypto.hmacSha256(keys.serverKey, signed, digestMemory);
  return signature instanceof Promise ? signature.then(proven) : proven(signature);
}

function proven(serverSignature: Uint8Array): ScramResult {
  return { ok: true, serverFinal: `v=${encodeBase64(serverSignature)}` };
}

/**
 * Checks a client-first-message; where its nonce stands, {@link valueStarts} and {@link valueEnds} say.
 * @throws ConduitError INVALID_PAYLOAD_SHAPE.
 */
function checkClientFirst(message: string): void {
  const what = "client-first-message";
  if (!message.startsWith(GS2_HEADER)) throw malformed(what, `it must begin with "${GS2_HEADER}"`);
  locateAttributes(what, message, "nr", GS2_HEADER.length);
  if (!isEscapedName(message, valueStarts[0], valueEnds[0])) throw malformed(what, "the user name is not escaped");
  if (!isNonce(message, valueStarts[NONCE], valueEnds[NONCE]))
    throw malformed(what, "the nonce is not printable ASCII");
}

/**
 * Checks a client-final-message; where its nonce ends, {@link valueEnds} says.
 * @param known has, from `start` to `end`, the nonce that the message must name, or only what it begins with
 * @returns where its proof begins, base64 of 32 bytes with which it ends
 * @throws ConduitError INVALID_PAYLOAD_SHAPE.
 */
function checkClientFinal(message: string, known: string, start: number, end: number, isBeginning: boolean): number {
  const what = "client-final-message";
  locateAttributes(what, message, "cr");
  if (!message.startsWith(CHANNEL_KEY)) throw malformed(what, `c must be "${CHANNEL}"`);
  const length = (valueEnds[NONCE] as number) - NONCE_START;
  let fits = isBeginning ? length >= end - start : length === end - start;
  for (let index = start; fits && index < end; index++) {
    fits = message.charCodeAt(NONCE_START + index - start) === known.charCodeAt(index);
  }
  if (!fits) throw malformed(what, "the nonce is not that of the challenge");
  const last = message.lastIndexOf(",");
  const proofStart = last + PROOF_KEY.length;
  const isProof =
    message.startsWith(PROOF_KEY, last) && decodeBase64(message, digestMemory, proofStart) === digestMemory;
  if (!isProof) throw malformed(what, "it must end in a proof of 32 bytes");
  return proofStart;
}

/** Whether `text` is, from `start` to `end`, printable ASCII without commas. */
export function isNonce(text: string, start = 0, end: number = text.length): boolean {
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x21 || code > 0x7e || code === COMMA) return false;
  }
  return end > start;
}

function parseIterations(what: string, text: string): number {
  if (!/^[1-9][0-9]{0,9}$/.test(text)) throw malformed(what, "the iteration count is not a positive integer");
  const iterations = Number(text);
  if (iterations < SCRAM_MIN_ITERATIONS || iterations > SCRAM_MAX_ITERATIONS) {
    throw new ConduitError(
      ErrorCode.SERVER_NOT_TRUSTED,
      `SCRAM: the server asks for ${iterations} iterations, allowed are ${SCRAM_MIN_ITERATIONS} to ${SCRAM_MAX_ITERATIONS}`,
    );
  }
  return iterations;
}
