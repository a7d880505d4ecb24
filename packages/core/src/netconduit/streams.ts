/**
 * The streams of netconduit's Python package, which are topics here. Its server answers mistakes by a successful result
 * with an `error`, and so do these.
 */

import { float64 } from "../wire/float64.ts";

export const STREAM_LIST = "stream_list";
export const STREAM_SUBSCRIBE = "stream_subscribe";
export const STREAM_UNSUBSCRIBE = "stream_unsubscribe";
export const STREAM_CREATE = "stream_create";
/** Messages. */
export const STREAM_DATA = "stream_data";
export const STREAM_CLOSED = "stream_closed";

/** One stream in the answer to `stream_list`. */
export interface StreamInfo {
  readonly name: string;
  readonly owner: string;
  readonly subscribers: number;
  readonly active: boolean;
}

/** The data of `stream_data`. Its timestamp is in seconds, a float even if it is whole. */
export function streamData(stream: string, data: unknown, nowMs: number): Readonly<Record<string, unknown>> {
  return { stream, data, timestamp: float64(nowMs / 1000) };
}

export function streamNotFound(name: unknown): { readonly error: string } {
  return { error: `Stream not found: ${String(name)}` };
}

export const STREAM_EXISTS: { readonly error: string } = Object.freeze({ error: "Stream already exists" });
