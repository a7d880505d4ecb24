import { createHash } from "node:crypto";
import type { ClusterAddress } from "@netconduit/core";

/**
 * Encodes any name as one token of a subject, a key or a stream's name: letters, digits, `_` and `-` as they are, other bytes
 * of its UTF-8 as `=` and two hexadecimal digits. The empty name is `=`.
 */
export function encodeToken(name: string): string {
  if (name === "") return "=";
  return encodeURIComponent(name).replace(/[%.!~*'()]/g, (char) =>
    char === "%" ? "=" : `=${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The subject of an address: `PREFIX.KIND.NAME`. */
export function subjectOf(prefix: string, { kind, name }: ClusterAddress): string {
  return `${prefix}.${kind}.${encodeToken(name)}`;
}

/** NATS closes a connection whose control line exceeds 4,096 bytes; the rest is for the verb, an id and sizes. */
const MAX_SUBJECT_BYTES = 4000;

/** Whether the subject fits into NATS's control line. Subjects are ASCII. */
export function fitsControlLine(subject: string): boolean {
  return subject.length <= MAX_SUBJECT_BYTES;
}

/** A subject that no address and no other link uses, for probing permissions. */
export function probeSubject(prefix: string, kind: ClusterAddress["kind"], linkId: string): string {
  return `${prefix}.${kind}.=probe-${linkId}`;
}

/** NATS stores a stream in a folder of its name, which is limited to 255 bytes on most systems. */
const MAX_TOPIC_TOKEN = 150;

/** A token for a stream's name. Long ones end with `=-` and a hash, which can't occur in other tokens. */
export function streamToken(topic: string): string {
  const token = encodeToken(topic);
  if (token.length <= MAX_TOPIC_TOKEN) return token;
  const hash = createHash("sha256").update(topic).digest("hex");
  return `${token.slice(0, MAX_TOPIC_TOKEN - hash.length)}=-${hash}`;
}
