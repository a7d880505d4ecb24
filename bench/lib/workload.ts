/** What every peer carries: the same parameters, messages and bytes, and the same check of parameters. */
import * as v from "valibot";

/** Parameters of `add`, the one call that is measured. Its result is their sum. */
export type AddParams = {
  readonly a: number;
  readonly b: number;
};

/**
 * The check of a call's parameters. A peer that validates by itself is given this schema, or its equal in its own
 * language; for one that does not, its server parses with it by hand, as one would write it.
 */
export const AddSchema: v.ObjectSchema<
  { readonly a: v.NumberSchema<undefined>; readonly b: v.NumberSchema<undefined> },
  undefined
> = v.object({ a: v.number(), b: v.number() });

/** A message that is answered with itself. */
export interface Message {
  readonly id: number;
  readonly text: string;
}

/** A broadcast. `n` counts from 1; a receiver adds up what it gets, so that a lost or repeated one shows. */
export interface News {
  readonly n: number;
  readonly text: string;
}

/** With this text a {@link News} takes about 92 bytes on the wire with a header of 32 bytes. */
export const NEWS_TEXT: string = "twenty-eight bytes of news..";

/** Text of a {@link Message}. */
export const MESSAGE_TEXT: string = "what a chat line might say";

/** The name of the `index`-th method: `add`, `add1`, `add2`, … All of them do the same. */
export function methodName(index: number): string {
  return index === 0 ? "add" : `add${index}`;
}

/** Bytes that are not all alike; the same ones for the same length. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff;
  return bytes;
}

const served = new Map<number, Uint8Array<ArrayBuffer>>();

/** {@link pattern}, made once per length: what a server sends that is asked for bytes. */
export function servedBytes(length: number): Uint8Array<ArrayBuffer> {
  let bytes = served.get(length);
  if (bytes === undefined) {
    bytes = pattern(length);
    served.set(length, bytes);
  }
  return bytes;
}

/**
 * A number that stands for `bytes`: their length, and three of them. It is what a receiver of bytes reports, cheap
 * enough not to be what is measured.
 */
export function mark(bytes: Uint8Array): number {
  const { length } = bytes;
  if (length === 0) return 0;
  const sample = ((bytes[0] as number) << 16) | ((bytes[length >>> 1] as number) << 8) | (bytes[length - 1] as number);
  return length * 0x100_0000 + sample;
}
