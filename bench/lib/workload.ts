/** The workload of every peer: the same parameters, messages and bytes, and the same validation. */
import * as v from "valibot";

/** Parameters of `add`, the measured call. Its result is their sum. */
export type AddParams = {
  readonly a: number;
  readonly b: number;
};

/**
 * The schema of a call's parameters. A peer with validation uses this schema, or the equivalent in its own language;
 * for other peers, the server's handler parses with it.
 */
export const AddSchema: v.ObjectSchema<
  { readonly a: v.NumberSchema<undefined>; readonly b: v.NumberSchema<undefined> },
  undefined
> = v.object({ a: v.number(), b: v.number() });

/** A message whose reply is the same message. */
export interface Message {
  readonly id: number;
  readonly text: string;
}

/** A broadcast. `n` counts from 1; receivers sum it, which reveals lost and repeated broadcasts. */
export interface News {
  readonly n: number;
  readonly text: string;
}

/** Makes a {@link News} about 92 bytes on the wire, including a header of 32 bytes. */
export const NEWS_TEXT: string = "twenty-eight bytes of news..";

/** Text of a stream item of about 64 bytes. */
export const ITEM_TEXT: string = "forty-eight bytes, such as a line of a log has..";

/** Bytes of an item of blocks. */
export const BLOCK_BYTES: number = 64 * 1024;

/** Text of a {@link Message}. */
export const MESSAGE_TEXT: string = "what a chat line might say";

/** The name of the `index`-th method: `add`, `add1`, `add2`, … All are identical. */
export function methodName(index: number): string {
  return index === 0 ? "add" : `add${index}`;
}

/** Returns varied bytes that only depend on the length. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff;
  return bytes;
}

const served = new Map<number, Uint8Array<ArrayBuffer>>();

/** {@link pattern}, computed once per length: the bytes that servers send. */
export function servedBytes(length: number): Uint8Array<ArrayBuffer> {
  let bytes = served.get(length);
  if (bytes === undefined) {
    bytes = pattern(length);
    served.set(length, bytes);
  }
  return bytes;
}

/**
 * A checksum of `bytes`, computed from their length and three of them, which receivers report. Cheap, so that it
 * doesn't affect measurements.
 */
export function mark(bytes: Uint8Array): number {
  const { length } = bytes;
  if (length === 0) return 0;
  const sample = ((bytes[0] as number) << 16) | ((bytes[length >>> 1] as number) << 8) | (bytes[length - 1] as number);
  return length * 0x100_0000 + sample;
}
