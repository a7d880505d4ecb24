/**
 * netconduit's login: a SHA-256 of the password. Anyone who sees a login can repeat it, so both roles require the
 * option `allowPasswordHash`.
 */

import type { RuntimeCrypto } from "../runtime.ts";
import { toHex } from "../util/hex.ts";
import { utf8 } from "../util/utf8.ts";

/** `password_hash` of AUTH_REQUEST: lower-case hex SHA-256 of the password in UTF-8, without normalization. */
export function passwordHash(password: string, crypto: RuntimeCrypto): string {
  return toHex(crypto.sha256(utf8(password)));
}
