/** Who the other side says it is. */
import { isMap } from "../util/is-map.ts";

/** UTF-16 units kept of each text that a peer says of itself. */
const MAX_TEXT = 256;

/** What a peer said of itself at login. Claims, not facts: nothing of it is verified. */
export interface PeerInfo {
  /** At most 256 UTF-16 units, like the other two; empty if it said nothing. */
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** A plain netconduit peer: it named no extensions. */
  readonly netconduit: boolean;
}

/** How a peer proved that it knows the password. */
export type AuthMethod = "scram" | "password-hash";

/** What this side says of itself. */
export interface LocalInfo {
  readonly name: string;
  readonly version: string;
  readonly description: string;
}

/**
 * Reads `client_info` or `server_info`. Never throws: what is missing or no string is empty.
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

/** `info` as it is sent: netconduit's two keys in its order, the description only if there is one. */
export function infoPayload(info: LocalInfo): Record<string, string> {
  const payload: Record<string, string> = { name: info.name, version: info.version };
  if (info.description !== "") payload.description = info.description;
  return payload;
}

/** A peer's text, cut to 256 UTF-16 units but never inside a character; empty for anything but a string. */
export function clippedText(value: unknown): string {
  if (typeof value !== "string") return "";
  if (value.length <= MAX_TEXT) return value;
  const last = value.charCodeAt(MAX_TEXT - 1);
  const cutsPair = last >= 0xd800 && last <= 0xdbff;
  return value.slice(0, cutsPair ? MAX_TEXT - 1 : MAX_TEXT);
}
