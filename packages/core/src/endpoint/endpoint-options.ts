import * as v from "valibot";
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_CLOSE_TIMEOUT_MS,
  DEFAULT_HANDLER_CONCURRENCY,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  DEFAULT_HEARTBEAT_TIMEOUT_MS,
  DEFAULT_MAX_MESSAGE_BYTES,
  DEFAULT_RECEIVE_QUEUE_BYTES,
  DEFAULT_RECEIVE_QUEUE_SIZE,
  DEFAULT_RPC_TIMEOUT_MS,
  DEFAULT_SEND_QUEUE_BYTES,
  DEFAULT_SEND_QUEUE_SIZE,
  PROTOCOL_MAX_MESSAGE_BYTES,
} from "../limits.ts";
import type { OptionProblems } from "./option-problems.ts";
import { type EntriesOf, flag, milliseconds, optionalText, text, wholeNumber } from "./option-rules.ts";

/** Options that `Server` and `Client` have in common. All times are in whole milliseconds, 1 to 2^31-1. */
export interface PeerOptions {
  /** Version of this program, told to the other side; at most 256 characters. Default `"1.0.0"`. */
  readonly version?: string | undefined;
  /** What this program is; at most 1,024 characters. Default `""`. */
  readonly description?: string | undefined;
  /** Unix socket path. When given, `host` and `port` are not used and `ipv6` is refused. Default: none. */
  readonly path?: string | undefined;

  /** Largest message in bytes, sent or received, inflated if it was compressed; 1,024 to 100 MiB. Default 10 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** Socket buffer of a connection in bytes; 1,024 to 100 MiB. Default 65,536. */
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
   * What those messages take in memory once decoded; the same bound holds for those being handled. At least
   * `maxMessageBytes` + 1,024. Default 16 MiB, or that minimum if it is larger.
   */
  readonly receiveQueueBytes?: number | undefined;
  /** Asynchronous handlers of one connection that may run at the same time. Default 256. */
  readonly handlerConcurrency?: number | undefined;

  /** How often a heartbeat is sent. Default 30,000 ms. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** Silence after which the other side counts as gone; more than `heartbeatIntervalMs`. Default 90,000 ms. */
  readonly heartbeatTimeoutMs?: number | undefined;
  /** How long a call waits for its result unless it says otherwise. Default 30,000 ms. */
  readonly rpcTimeoutMs?: number | undefined;
  /** How long a graceful close waits for the other side before the end is forced. Default 5,000 ms. */
  readonly closeTimeoutMs?: number | undefined;

  /** Compress payloads over 1,024 bytes that get smaller by it (zlib). What arrives is inflated anyway. Default false. */
  readonly enableCompression?: boolean | undefined;
  /** Ask a peer that sends faster than handlers run to pause. Reading from its socket stops anyway. Default true. */
  readonly enableBackpressure?: boolean | undefined;
  /**
   * Allow netconduit's replayable password hash at login, for peers that know no SCRAM. Default false: such peers are
   * refused with PASSWORD_HASH_REFUSED.
   */
  readonly allowPasswordHash?: boolean | undefined;
  /**
   * Every method that the contract lists for this side must have a handler when `server.start()` listens, or
   * `client.connect()` dials; else that fails with INVALID_STATE. Needs option `contract`. Default false.
   */
  readonly complete?: boolean | undefined;
  /** Development only: what a handler throws reaches the caller as text, not just as a code. Default false. */
  readonly exposeErrors?: boolean | undefined;
}

/** Beside the message itself, its frame and control frames need room in a queue. */
const QUEUE_HEADROOM_BYTES = 1024;
const MIN_MESSAGE_BYTES = 1024;
/** Identity travels in the handshake, whose frames hold 16 KiB at most. */
export const MAX_NAME_CHARS = 256;
const MAX_DESCRIPTION_CHARS = 1024;

/** Schemas of the common options. */
export const peerEntries: EntriesOf<PeerOptions, "path" | "sendQueueBytes" | "receiveQueueBytes"> = {
  version: v.optional(text(MAX_NAME_CHARS), "1.0.0"),
  description: v.optional(optionalText(MAX_DESCRIPTION_CHARS), ""),
  path: v.optional(text()),
  maxMessageBytes: v.optional(wholeNumber(MIN_MESSAGE_BYTES, PROTOCOL_MAX_MESSAGE_BYTES), DEFAULT_MAX_MESSAGE_BYTES),
  bufferSize: v.optional(wholeNumber(1024, PROTOCOL_MAX_MESSAGE_BYTES), DEFAULT_BUFFER_SIZE),
  sendQueueSize: v.optional(wholeNumber(1), DEFAULT_SEND_QUEUE_SIZE),
  sendQueueBytes: v.optional(wholeNumber(1)),
  receiveQueueSize: v.optional(wholeNumber(1), DEFAULT_RECEIVE_QUEUE_SIZE),
  receiveQueueBytes: v.optional(wholeNumber(1)),
  handlerConcurrency: v.optional(wholeNumber(1), DEFAULT_HANDLER_CONCURRENCY),
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

/** What the rules about several options look at. */
export interface PeerFacts {
  readonly maxMessageBytes: number;
  readonly sendQueueBytes?: number | undefined;
  readonly receiveQueueBytes?: number | undefined;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly path?: string | undefined;
  readonly ipv6?: boolean | undefined;
}

/** Rules about several of the common options. `given` is what the user passed, to tell defaults apart. */
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

function checkQueueBytes(
  problems: OptionProblems,
  option: "sendQueueBytes" | "receiveQueueBytes",
  facts: PeerFacts,
): void {
  const bytes = facts[option];
  if (bytes === undefined || problems.has(option) || problems.has("maxMessageBytes")) return;
  const least = facts.maxMessageBytes + QUEUE_HEADROOM_BYTES;
  if (bytes < least)
    problems.add(option, `must be at least maxMessageBytes + ${QUEUE_HEADROOM_BYTES} (${least})`, bytes);
}

/** The queues' sizes in bytes, filled in. */
export function queueBytes(facts: PeerFacts): { sendQueueBytes: number; receiveQueueBytes: number } {
  const least = facts.maxMessageBytes + QUEUE_HEADROOM_BYTES;
  return {
    sendQueueBytes: facts.sendQueueBytes ?? Math.max(DEFAULT_SEND_QUEUE_BYTES, least),
    receiveQueueBytes: facts.receiveQueueBytes ?? Math.max(DEFAULT_RECEIVE_QUEUE_BYTES, least),
  };
}

/**
 * Freezes a configuration and hides its password from enumeration, so that logging or serialising `config` does not
 * print it. `config.password` reads as ever.
 */
export function sealConfig<T extends { readonly password: unknown }>(config: T): T {
  Object.defineProperty(config, "password", { enumerable: false });
  return Object.freeze(config);
}
