import * as v from "valibot";
import type { AgreedTopic } from "../../endpoint/contract-option.ts";
import { OptionProblems } from "../../endpoint/option-problems.ts";
import { flag, group, milliseconds, oneOf, optionPaths, wholeNumber } from "../../endpoint/option-rules.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { checkTopicName } from "../../extensions/topics/topic-name.ts";
import { DEFAULT_TOPIC_AGE_MS, DEFAULT_TOPIC_BUFFER, DEFAULT_TOPIC_BYTES } from "../../limits.ts";
import { type Access, accessOf, isRoleList } from "../../rpc/access.ts";
import { isSchema, SCHEMA_RULE, type Schema } from "../../rpc/schema.ts";
import { Validator } from "../../rpc/validation.ts";
import type { Awaitable } from "../../util/awaitable.ts";
import type { AnyConnection } from "../connection.ts";

/** How a topic handles a subscriber that reads more slowly than messages are published. */
export type SlowPolicy = "drop-oldest" | "drop-newest" | "latest" | "disconnect";

/** Details of an admitted subscriber. */
export interface Admission {
  /**
   * The user shown in presence, who may have several connections. At most 256 characters; null for none. Default: the
   * name of `connection.user`, or none for a client that logged in with the shared password.
   */
  readonly user?: string | null | undefined;
}

/** Limits of the messages that a topic keeps for subscribers that reconnect. */
export interface TopicHistory {
  /** Maximum number of messages. Default 1,000. */
  readonly messages?: number | undefined;
  /** Maximum age in milliseconds. Default 300,000. */
  readonly ageMs?: number | undefined;
  /** Maximum total bytes of frames. Default 16 MiB. */
  readonly bytes?: number | undefined;
  /**
   * Keep the messages in a log of the cluster, in one order for all nodes, so that a subscriber can reconnect to any
   * node. Needs the server's option `cluster`. Default false: each node keeps them in memory.
   */
  readonly durable?: boolean | undefined;
}

/** Options of a topic. */
export interface TopicOptions<S extends Schema = Schema, Peer = AnyConnection> {
  /**
   * Validates published data. Must be synchronous, and must accept its own output, because clients with the same
   * contract validate it again. Default: the contract's schema, or any data without one.
   */
  readonly schema?: S | undefined;
  /** Number of recent messages sent to each new subscriber; at most one with `slow: "latest"`. Default 0. */
  readonly retain?: number | undefined;
  /** Messages to keep for subscribers that reconnect. Default: none. */
  readonly history?: TopicHistory | undefined;
  /** Whether subscribers can see the other subscribers. Default false. */
  readonly presence?: boolean | undefined;
  /**
   * How a subscriber that reads too slowly is handled. `disconnect` and `drop-newest` apply once its send queue is
   * full. `drop-oldest` keeps the last `slowBuffer` messages for it, and `latest` the last one, as soon as its socket
   * is full. Default: `disconnect` or `drop-newest`, according to the server's option `slowConsumer`.
   */
  readonly slow?: SlowPolicy | undefined;
  /** Number of messages kept for a slow subscriber with `drop-oldest`. Default 1,000. */
  readonly slowBuffer?: number | undefined;
  /**
   * Authorizes a subscription. False rejects it with PERMISSION_DENIED, an RpcError with its own code. May return the
   * subscriber's user. Default: every client may subscribe.
   */
  readonly authorize?: ((connection: Peer, topic: string) => Awaitable<boolean | Admission>) | undefined;
  /** Roles of which a user needs one to subscribe or publish; others get PERMISSION_DENIED. Default: all users. */
  readonly roles?: readonly string[] | undefined;
  /** Which clients may publish: all, subscribers, or those that a function admits. Default: none. */
  readonly publish?: boolean | "subscribers" | ((connection: Peer, topic: string) => Awaitable<boolean>) | undefined;
}

/** Options of the topics of a pattern, where clients choose the names: `authorize` or `roles` is required. */
export type TopicPatternOptions<S extends Schema = Schema, Peer = AnyConnection> = TopicOptions<S, Peer> &
  (Required<Pick<TopicOptions<S, Peer>, "authorize">> | Required<Pick<TopicOptions<S, Peer>, "roles">>);

/** A topic's options with defaults filled in, shared by all topics of a pattern. */
export interface TopicRules {
  /** The topic's name, or the pattern. */
  readonly name: string;
  readonly isPattern: boolean;
  readonly validator: Validator<unknown> | null;
  readonly retain: number;
  /** Number of messages to keep while no subscriber is slow. */
  readonly keep: number;
  readonly ageMs: number;
  readonly bytes: number;
  /** Whether the history is in a log of the cluster. */
  readonly isDurable: boolean;
  readonly presence: boolean;
  readonly slow: SlowPolicy;
  readonly slowBuffer: number;
  readonly authorize: ((connection: AnyConnection, topic: string) => Awaitable<boolean | Admission>) | null;
  readonly publish: boolean | "subscribers" | ((connection: AnyConnection, topic: string) => Awaitable<boolean>);
  /** Null if all may use it. */
  readonly access: Access | null;
}

const isFunction = (value: unknown): boolean => typeof value === "function";
const PUBLISH_RULE = 'must be a boolean, "subscribers" or a function';
const publishEntry = v.union(
  [v.boolean(), v.literal("subscribers"), v.custom<() => boolean>(isFunction)],
  PUBLISH_RULE,
);

const historyEntries = {
  messages: v.optional(wholeNumber(1), DEFAULT_TOPIC_BUFFER),
  ageMs: v.optional(milliseconds(), DEFAULT_TOPIC_AGE_MS),
  bytes: v.optional(wholeNumber(1), DEFAULT_TOPIC_BYTES),
  durable: v.optional(flag(), false),
};

const entries = {
  schema: v.optional(v.custom<Schema>(isSchema, SCHEMA_RULE)),
  retain: v.optional(wholeNumber(0), 0),
  history: v.optional(group(historyEntries)),
  presence: v.optional(flag(), false),
  slow: v.optional(oneOf(["drop-oldest", "drop-newest", "latest", "disconnect"])),
  slowBuffer: v.optional(wholeNumber(1), DEFAULT_TOPIC_BUFFER),
  authorize: v.optional(v.custom<() => boolean>(isFunction, "must be a function")),
  roles: v.optional(v.custom<readonly string[]>(isRoleList, "must be an array of one or more non-empty strings")),
  publish: v.optional(publishEntry, false),
} satisfies Record<keyof TopicOptions, unknown>;

const schema = group(entries);
const knownOptions: readonly string[] = [...Object.keys(entries), ...optionPaths("history", historyEntries)];

/**
 * @param agreed the topic's entry in the contract
 * @param slowConsumer the server's option of that name
 * @throws ConduitError INVALID_CONFIG
 */
export function parseTopicOptions(
  name: string,
  isPattern: boolean,
  options: unknown,
  agreed: AgreedTopic | undefined,
  slowConsumer: "drop" | "disconnect",
): TopicRules {
  checkName(name, isPattern);
  const problems = new OptionProblems(`topic '${name}'`, knownOptions, []);
  const result = v.safeParse(schema, options);
  if (!result.success) problems.addIssues(result.issues);
  problems.throwIfAny();
  const {
    history,
    retain,
    slow,
    schema: given,
    authorize,
    roles,
    ...rest
  } = result.output as v.InferOutput<typeof schema>;
  const access = accessOf(name, agreed?.roles, roles);
  if (isPattern && authorize === undefined && access === null) {
    problems.add("authorize", "must be a function, because clients choose the names of these topics", undefined);
    problems.throwIfAny();
  }
  const checks = given ?? agreed?.schema;
  return {
    ...(rest as Pick<TopicRules, "presence" | "slowBuffer" | "publish">),
    name,
    isPattern,
    access,
    validator: checks === undefined ? null : new Validator(checks, "topic"),
    retain,
    keep: Math.max(retain, history?.messages ?? 0),
    ageMs: history?.ageMs ?? DEFAULT_TOPIC_AGE_MS,
    bytes: history?.bytes ?? DEFAULT_TOPIC_BYTES,
    isDurable: history?.durable ?? false,
    slow: slow ?? (slowConsumer === "drop" ? "drop-newest" : "disconnect"),
    authorize: (authorize ?? null) as TopicRules["authorize"],
  };
}

/** @throws ConduitError INVALID_CONFIG */
function checkName(name: unknown, isPattern: boolean): void {
  checkTopicName(name);
  const stars = name.split("*").length - 1;
  if (isPattern && stars !== 1) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `The pattern '${name}' must contain one '*', as in 'room:*'`);
  }
  if (!isPattern && stars > 0) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `The topic '${name}' has a '*': use server.topics for a pattern`);
  }
}
