/**
 * netconduit's own login: a SHA-256 of the password. Whoever sees one login can log in, so both roles use it only
 * where their option `allowPasswordHash` says so.
 */

import { utf8 } from "../auth/scram-keys.ts";
import type { RuntimeCrypto } from "../runtime.ts";

/** `password_hash` of AUTH_REQUEST: lower-case hex SHA-256 of the password as it is, in UTF-8. */
export async function passwordHash(password: string, crypto: RuntimeCrypto): Promise<string> {
  let hex = "";
  for (const byte of await crypto.sha256(utf8(password))) hex += byte.toString(16).padStart(2, "0");
  return hex;
}
