/**
 * A user's password in the form that a server stores, as in RFC 5803:
 * `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, This is also PostgreSQL's format. It verifies logins
 * and can't be used to log in.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_ITERATIONS, SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { describeValue } from "../text/describe-value.ts";
import { decodeBase64, encodeBase64 } from "../util/base64.ts";
import { KnownOptions } from "../util/known-options.ts";
import { deriveServerKeys, type ScramServerKeys } from "./scram-keys.ts";

const MECHANISM = "SCRAM-SHA-256";
const KEY_BYTES = 32;
const MIN_SALT_BYTES = 8;
const MAX_SALT_BYTES = 128;

/** Options of {@link scramVerifier}. */
export interface VerifierOptions {
  /**
   * PBKDF2 iterations; 4,096 to 1,000,000. Default 15,000, like the server's option `scramIterations`. With another
   * number, users can be distinguished from unknown names, whose verifiers use that option.
   */
  readonly iterations?: number | undefined;
}

const KNOWN = new KnownOptions<VerifierOptions>("scramVerifier", { iterations: true });

/**
 * Creates a verifier of a password with a new random salt.
 * @throws ConduitError INVALID_CONFIG for an empty password, or iterations out of range
 */
export async function scramVerifier(
  password: string,
  runtime: { readonly crypto: RuntimeCrypto },
  options: VerifierOptions = {},
): Promise<string> {
  KNOWN.check(options);
  const { iterations = SCRAM_ITERATIONS } = options;
  if (!isIterations(iterations)) {
    const rule = `must be an integer from ${SCRAM_MIN_ITERATIONS} to ${SCRAM_MAX_ITERATIONS}`;
    const message = `Invalid option iterations of scramVerifier: ${rule}, got ${describeValue(iterations)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  return formatVerifier(await deriveServerKeys(password, iterations, runtime.crypto));
}

/** Formats a verifier. */
export function formatVerifier({ iterations, salt, storedKey, serverKey }: ScramServerKeys): string {
  const [saltText, storedText, serverText] = [salt, storedKey, serverKey].map(encodeBase64);
  return `${MECHANISM}$${iterations}:${saltText}$${storedText}:${serverText}`;
}

/** Parses a verifier. Null if it is invalid or not supported. */
export function parseVerifier(verifier: unknown): ScramServerKeys | null {
  if (typeof verifier !== "string") return null;
  const [, count = "", saltText = "", storedText = "", serverText = ""] =
    /^SCRAM-SHA-256\$([1-9][0-9]{0,9}):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(verifier) ?? [];
  const iterations = Number(count);
  const salt = decodeBase64(saltText);
  const storedKey = decodeBase64(storedText);
  const serverKey = decodeBase64(serverText);
  if (!isIterations(iterations) || salt === null || salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_BYTES) {
    return null;
  }
  if (storedKey?.length !== KEY_BYTES || serverKey?.length !== KEY_BYTES) return null;
  return { salt, iterations, storedKey, serverKey };
}

function isIterations(count: number): boolean {
  return Number.isSafeInteger(count) && count >= SCRAM_MIN_ITERATIONS && count <= SCRAM_MAX_ITERATIONS;
}
