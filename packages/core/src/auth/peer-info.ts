/** The peer's name, version and description. */

import { oneLine } from "../text/describe-value.ts";
import { isMap } from "../util/is-map.ts";

/** Maximum length of each text in a peer's info, in UTF-16 units. */
const MAX_TEXT = 256;

/** A peer's info, as sent at login. It isn't verified. */
export interface PeerInfo {
  /** At most 256 UTF-16 units, like the other two; empty if the peer sent none. */
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** Whether it is a plain netconduit peer, which sends no `extensions`. */
  readonly netconduit: boolean;
}

/** How a client authenticated. */
export type AuthMethod = "scram" | "password-hash" | "token" | "certificate";

/** This side's info. */
export interface LocalInfo {
  readonly name: string;
  readonly version: string;
  readonly description: string;
}

/**
 * Reads `client_info` or `server_info`. Never throws: fields that are missing or not strings become empty.
 * @param extensions the `extensions` of the same payload.
 */
export function parsePeerInfo(info: unknown, extensions: unknown): PeerInfo {
  const { name, version, description } = isMap(info) ? info : {};
  return Object.freeze({
    name: clippedText(name),
    version: clippedText(version),
    description: clippedText(description),
    netconduit: !isMap(extensions),
  });
}

export function isSamePeerInfo(a: PeerInfo, b: PeerInfo): boolean {
  return (
    a.name === b.name && a.version === b.version && a.description === b.description && a.netconduit === b.netconduit
  );
}

/** Encodes `info` for sending: netconduit's two keys in its order, and the description if there is one. */
export function infoPayload(info: LocalInfo): Record<string, string> {
  const payload: Record<string, string> = { name: info.name, version: info.version };
  if (info.description !== "") payload.description = info.description;
  return payload;
}

/** Puts a peer's text on one line, truncated to 256 UTF-16 units without splitting a character; empty if it isn't a string. */
export function clippedText(value: unknown): string {
  if (typeof value !== "string") return "";
  if (value.length <= MAX_TEXT) return oneLine(value);
  const last = value.charCodeAt(MAX_TEXT - 1);
  const cutsPair = last >= 0xd800 && last <= 0xdbff;
  return oneLine(value.slice(0, cutsPair ? MAX_TEXT - 1 : MAX_TEXT));
}
