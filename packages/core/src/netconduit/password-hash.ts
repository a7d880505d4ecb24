/**
 * netconduit's own login: a SHA-256 of the password. Anyone who sees one login can log in, so both roles use it only
 * where their option `allowPasswordHash` says so.
 */

import type { RuntimeCrypto } from "../runtime.ts";
import { toHex } from "../util/hex.ts";
import { utf8 } from "../util/utf8.ts";

/** `password_hash` of AUTH_REQUEST: lower-case hex SHA-256 of the password as it is, in UTF-8. */
export async function passwordHash(password: string, crypto: RuntimeCrypto): Promise<string> {
  return toHex(await crypto.sha256(utf8(password)));
}
