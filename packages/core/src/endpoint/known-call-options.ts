/** The options of each function that sends. */

import type { Schema } from "../rpc/schema.ts";
import { KnownOptions } from "../util/known-options.ts";
import type {
  CallOptions,
  CallStreamOptions,
  OnceOptions,
  SendingOptions,
  SendOptions,
  StreamOptions,
  TypedCallOptions,
  TypedStreamOptions,
} from "./call-options.ts";

type Typed = TypedCallOptions<Schema>;
type AnyCall = Typed & CallStreamOptions<unknown> & OnceOptions;
type AnyStream = StreamOptions & TypedStreamOptions<Schema>;

const SEND = { meta: true } as const;
const CALL = { ...SEND, timeoutMs: true, signal: true, parent: true } as const;
const TYPED = { ...CALL, result: true } as const;
const STREAMS = { input: true, onProgress: true } as const;
const HINT = "; parameters are one object too, the argument before it";

export const SEND_OPTIONS: KnownOptions<SendingOptions> = new KnownOptions("send", { ...SEND, ack: true });
export const CALL_NO_WAIT_OPTIONS: KnownOptions<SendOptions> = new KnownOptions("callNoWait", SEND, HINT);
export const CALL_OPTIONS: KnownOptions<AnyCall> = new KnownOptions("call", { ...TYPED, ...STREAMS, once: true }, HINT);
export const CALL_ALL_OPTIONS: KnownOptions<Typed> = new KnownOptions("callAll", TYPED, HINT);
export const REQUEST_OPTIONS: KnownOptions<Typed> = new KnownOptions("request", TYPED);
export const STREAM_OPTIONS: KnownOptions<AnyStream> = new KnownOptions(
  "stream",
  { ...CALL, ...STREAMS, output: true },
  HINT,
);
export const DISCOVER_OPTIONS: KnownOptions<CallOptions> = new KnownOptions("discover", CALL);
export const PUBLISH_OPTIONS: KnownOptions<CallOptions> = new KnownOptions("publish", CALL);
