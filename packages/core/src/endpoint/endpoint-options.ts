import * as v from "valibot";
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_CLOSE_TIMEOUT_MS,
  DEFAULT_HANDLER_CONCURRENCY,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  DEFAULT_HEARTBEAT_TIMEOUT_MS,
  DEFAULT_MAX_MESSAGE_BYTES,
  DEFAULT_MAX_STREAM_BYTES,
  DEFAULT_MAX_STREAMS,
  DEFAULT_RECEIVE_QUEUE_BYTES,
  DEFAULT_RECEIVE_QUEUE_SIZE,
  DEFAULT_RPC_TIMEOUT_MS,
  DEFAULT_SEND_QUEUE_BYTES,
  DEFAULT_SEND_QUEUE_SIZE,
  PROTOCOL_MAX_MESSAGE_BYTES,
} from "../limits.ts";
import type { OptionProblems } from "./option-problems.ts";
import { type EntriesOf, flag, milliseconds, optionalText, text, wholeNumber } from "./option-rules.ts";

/** Options shared by `Server` and `Client`. All times are in whole milliseconds, 1 to 2^31-1. */
export interface PeerOptions {
  /** Version of your program, sent to the other side; at most 256 characters. Default `"1.0.0"`. */
  readonly version?: string | undefined;
  /** Description of your program, sent to the other side; at most 1,024 characters. Default `""`. */
  readonly description?: string | undefined;
  /** Unix socket path. Replaces `host` and `port`; can't be combined with `ipv6`. Default: none. */
  readonly path?: string | undefined;

  /** Largest message in bytes, sent or received, after decompression; 1,024 to 100 MiB. Default 10 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** Socket buffer size of a connection in bytes; 1,024 to 100 MiB. Default 65,536. */
  readonly bufferSize?: number | undefined;
  /** Messages that may wait to be sent on a connection. Default 1,000. */
  readonly sendQueueSize?: number | undefined;
  /**
   * Bytes that may wait to be sent on a connection; at least `maxMessageBytes` + 1,024, or the largest message could
   * never be sent. Default 16 MiB, or that minimum if it is larger.
   */
  readonly sendQueueBytes?: number | undefined;
  /** Received messages of a connection that may wait for their handlers. Default 1,000. */
  readonly receiveQueueSize?: number | undefined;
  /**
   * Decoded size of the messages that may wait for their handlers, and again of those being handled. At least
   * `maxMessageBytes` + 1,024. Default 16 MiB, or that minimum if it is larger.
   */
  readonly receiveQueueBytes?: number | undefined;
  /** Asynchronous handlers of one connection that may run at the same time. Default 256. */
  readonly handlerConcurrency?: number | undefined;
  /** Maximum number of the other side's unanswered calls with streams on a connection. Default 10,000. */
  readonly maxStreams?: number | undefined;
  /**
   * Bytes of received items of a connection's streams that may wait for the application, beside 4 KiB for each stream
   * and the items that are larger than that. At least 65,536. Default 64 MiB.
   */
  readonly maxStreamBytes?: number | undefined;

  /** Time between two heartbeats. Default 30,000 ms. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** Silence after which the other side counts as lost; must exceed `heartbeatIntervalMs`. Default 90,000 ms. */
  readonly heartbeatTimeoutMs?: number | undefined;
  /** Default timeout of calls and requests. Default 30,000 ms. */
  readonly rpcTimeoutMs?: number | undefined;
  /** How long a graceful close waits for the other side before aborting. Default 5,000 ms. */
  readonly closeTimeoutMs?: number | undefined;

  /**
   * Compress payloads over 1,024 bytes with zlib when that makes them smaller, if the other side also has this
   * option. Without it, compressed payloads are rejected (UNSUPPORTED_FLAG). Compression isn't negotiated with
   * netconduit peers: this option alone decides whether payloads to them are compressed and theirs are accepted.
   * Default false.
   */
  readonly enableCompression?: boolean | undefined;
  /**
   * Grant the peer credit for the free space in the receive queue, so that its socket is always read. Without credit,
   * and for netconduit peers, reading stops while the queue is full. Default true.
   */
  readonly enableBackpressure?: boolean | undefined;
  /**
   * Allow netconduit's replayable password hash at login, for peers without SCRAM. Default false: such peers are
   * rejected with PASSWORD_HASH_REFUSED.
   */
  readonly allowPasswordHash?: boolean | undefined;
  /**
   * Require a handler for every method that the contract lists for this side: without one, `server.start()` or
   * `client.connect()` fails with INVALID_STATE. Needs the option `contract`. Default false.
   */
  readonly complete?: boolean | undefined;
  /** Development only: send the message of an exception thrown by a handler to the caller. Default false. */
  readonly exposeErrors?: boolean | undefined;
}

/** Room in a queue for a message's frame header and control frames. */
const QUEUE_HEADROOM_BYTES = 1024;
/** Room in the default receive queue beside the largest message, so that small calls aren't held up by it. */
const RECEIVE_HEADROOM_BYTES: number = 2 * 1024 * 1024;
const MIN_MESSAGE_BYTES = 1024;
const MIN_MAX_STREAM_BYTES = 65_536;
/** Limit of names and versions sent at login; the other side truncates longer ones. */
export const MAX_NAME_CHARS = 256;

/** Schemas of the common options. */
export const peerEntries: EntriesOf<PeerOptions, "path" | "sendQueueBytes" | "receiveQueueBytes"> = {
  version: v.optional(text(MAX_NAME_CHARS), "1.0.0"),
  description: v.optional(optionalText(MAX_NAME_CHARS), ""),
  path: v.optional(text()),
  maxMessageBytes: v.optional(wholeNumber(MIN_MESSAGE_BYTES, PROTOCOL_MAX_MESSAGE_BYTES), DEFAULT_MAX_MESSAGE_BYTES),
  bufferSize: v.optional(wholeNumber(1024, PROTOCOL_MAX_MESSAGE_BYTES), DEFAULT_BUFFER_SIZE),
  sendQueueSize: v.optional(wholeNumber(1), DEFAULT_SEND_QUEUE_SIZE),
  sendQueueBytes: v.optional(wholeNumber(1)),
  receiveQueueSize: v.optional(wholeNumber(1), DEFAULT_RECEIVE_QUEUE_SIZE),
  receiveQueueBytes: v.optional(wholeNumber(1)),
  handlerConcurrency: v.optional(wholeNumber(1), DEFAULT_HANDLER_CONCURRENCY),
  maxStreams: v.optional(wholeNumber(1), DEFAULT_MAX_STREAMS),
  maxStreamBytes: v.optional(wholeNumber(MIN_MAX_STREAM_BYTES), DEFAULT_MAX_STREAM_BYTES),
  heartbeatIntervalMs: v.optional(milliseconds(), DEFAULT_HEARTBEAT_INTERVAL_MS),
  heartbeatTimeoutMs: v.optional(milliseconds(), DEFAULT_HEARTBEAT_TIMEOUT_MS),
  rpcTimeoutMs: v.optional(milliseconds(), DEFAULT_RPC_TIMEOUT_MS),
  closeTimeoutMs: v.optional(milliseconds(), DEFAULT_CLOSE_TIMEOUT_MS),
  enableCompression: v.optional(flag(), false),
  enableBackpressure: v.optional(flag(), true),
  allowPasswordHash: v.optional(flag(), false),
  complete: v.optional(flag(), false),
  exposeErrors: v.optional(flag(), false),
};

/** The options used by rules about several options. */
export interface PeerFacts {
  readonly maxMessageBytes: number;
  readonly sendQueueBytes?: number | undefined;
  readonly receiveQueueBytes?: number | undefined;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly path?: string | undefined;
  readonly ipv6?: boolean | undefined;
}

/** Checks rules about several of the shared options. `given` is the user's input, to distinguish defaults. */
export function checkPeerOptions(
  problems: OptionProblems,
  facts: PeerFacts,
  given: Readonly<Record<string, unknown>>,
): void {
  if (!problems.has("heartbeatIntervalMs") && !problems.has("heartbeatTimeoutMs")) {
    const { heartbeatIntervalMs: interval, heartbeatTimeoutMs: timeout } = facts;
    if (timeout <= interval) {
      const rule = `must be greater than heartbeatIntervalMs (${interval})`;
      problems.add("heartbeatTimeoutMs", rule, timeout, given["heartbeatTimeoutMs"] === undefined);
    }
  }
  checkQueueBytes(problems, "sendQueueBytes", facts);
  checkQueueBytes(problems, "receiveQueueBytes", facts);
  if (!problems.has("path") && !problems.has("ipv6") && facts.path !== undefined && facts.ipv6 === true) {
    problems.add("ipv6", "must not be set together with path", true);
  }
}

/** Checks that a message of the largest size fits. */
export function checkQueueBytes<Option extends string>(
  problems: OptionProblems,
  option: Option,
  facts: Pick<PeerFacts, "maxMessageBytes"> & { readonly [key in Option]?: number | undefined },
): void {
  const bytes = facts[option];
  if (bytes === undefined || problems.has(option) || problems.has("maxMessageBytes")) return;
  const least = facts.maxMessageBytes + QUEUE_HEADROOM_BYTES;
  if (bytes < least)
    problems.add(option, `must be at least maxMessageBytes + ${QUEUE_HEADROOM_BYTES} (${least})`, bytes);
}

/** The queue sizes in bytes, with defaults filled in. */
export function queueBytes(facts: PeerFacts): { sendQueueBytes: number; receiveQueueBytes: number } {
  const { maxMessageBytes } = facts;
  return {
    sendQueueBytes: facts.sendQueueBytes ?? Math.max(DEFAULT_SEND_QUEUE_BYTES, maxMessageBytes + QUEUE_HEADROOM_BYTES),
    receiveQueueBytes:
      facts.receiveQueueBytes ?? Math.max(DEFAULT_RECEIVE_QUEUE_BYTES, maxMessageBytes + RECEIVE_HEADROOM_BYTES),
  };
}

/**
 * Freezes a configuration and makes its secrets non-enumerable, so that logging or serializing `config` doesn't print
 * them. They stay readable, as `config.password`.
 */
export function sealConfig<T extends object>(config: T, secrets: readonly (keyof T)[]): T {
  for (const secret of secrets) {
    if (config[secret] !== undefined) Object.defineProperty(config, secret, { enumerable: false });
  }
  return Object.freeze(config);
}

/** Returns a frozen copy of the option `tls` whose private key isn't enumerable. */
export function sealTls<T extends { readonly key?: string | undefined }>(tls: T): T {
  return sealConfig({ ...tls }, tls.key === undefined ? [] : ["key"]);
}
