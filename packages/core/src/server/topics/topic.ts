import { forCaller, withCallerStack } from "../../errors.ts";
import type { TopicNameOf } from "../../rpc/contract.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { idSet } from "../broadcast.ts";
import type { AnyConnection } from "../connection.ts";
import type { Selection, TopicChannel, TopicStats } from "./topic-channel.ts";
import type { TopicHub } from "./topic-hub.ts";
import type { Admission, TopicRules } from "./topic-options.ts";

/** Recipients of a publish. A message with recipients isn't part of the topic's history, and isn't resent. */
export interface PublishOptions {
  /** One or more connection ids to exclude. */
  readonly exclude?: string | Iterable<string> | undefined;
  /** One or more connection ids; if given, only the subscribers among these receive the message. */
  readonly include?: string | Iterable<string> | undefined;
}

/** A subscriber in a topic's presence. */
export interface PresenceMember {
  /** The connection's id. */
  readonly id: string;
  /** The user returned by `authorize` or passed to `add`; null for none. */
  readonly user: string | null;
}

const PUBLISH = new KnownOptions<PublishOptions>("topic.publish", { exclude: true, include: true });
const APPEND = new KnownOptions<{ id: string }>("topic.append", { id: true });
const ADD = new KnownOptions<Admission>("topic.add", { user: true });

const NO_STATS: TopicStats = Object.freeze({
  subscribers: 0,
  published: 0,
  dropped: 0,
  lagging: 0,
  keptMessages: 0,
  keptBytes: 0,
});

/**
 * A topic of a server. A topic of a pattern exists on the server while it has subscribers or kept messages; this
 * object can be used before and after that.
 */
export class Topic<Data = unknown, Peer = AnyConnection> {
  readonly name: string;
  readonly #hub: TopicHub;
  readonly #rules: TopicRules;

  /** @internal */
  constructor(hub: TopicHub, name: string, rules: TopicRules) {
    this.name = name;
    this.#hub = hub;
    this.#rules = rules;
  }

  /**
   * Sends data to all subscribers, or to those selected by `options`, on all nodes. The data is encoded once. On a
   * durable topic, starts appending the data and reports a failure to `onError`; use `append` to wait for the result.
   * @returns the number of this node's subscribers that the message was queued or kept for
   * @throws ConduitError INVALID_STATE (the topic has ended), UNSERIALIZABLE, MESSAGE_TOO_LARGE; RpcError VALIDATION.
   *   In each case nothing was sent
   */
  publish(data: Data, options?: PublishOptions): number {
    try {
      PUBLISH.check(options);
      return this.#hub.publish(this.name, this.#rules, data, selectionOf(options));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /**
   * Publishes to a durable topic. Resolves with the position after the message once the log has stored it, with the
   * durability that the engine is configured for. From then on every subscriber gets it, now or when it reconnects,
   * as long as the log keeps it.
   * @param options.id a message whose id was appended within the last two minutes (or the history's `ageMs`, if
   *   shorter) isn't appended again. Default: a new id
   * @throws ConduitError INVALID_STATE (not durable, or ended), UNSERIALIZABLE, MESSAGE_TOO_LARGE,
   *   CLUSTER_UNAVAILABLE (the message may have been stored); RpcError VALIDATION
   */
  append(data: Data, options: { readonly id?: string | undefined } = {}): Promise<string> {
    return forCaller(() => {
      APPEND.check(options);
      return this.#hub.append(this.name, this.#rules, data, options.id ?? crypto.randomUUID());
    });
  }

  /**
   * Subscribes a client to the topic, which runs its `onSubscribed` hooks.
   * @returns false if it is already subscribed
   * @throws ConduitError INVALID_CONFIG (not a server's connection), CONNECTION_CLOSED, PEER_UNSUPPORTED,
   *   TOO_MANY_SUBSCRIPTIONS, SEND_QUEUE_FULL, INVALID_STATE
   */
  add(connection: Peer, options: Admission = {}): boolean {
    ADD.check(options);
    return this.#hub.add(this.name, this.#rules, connection as AnyConnection, options);
  }

  /** Ends a client's subscription. Returns false if it isn't subscribed. @throws ConduitError INVALID_CONFIG */
  delete(connection: Peer): boolean {
    return this.#hub.delete(this.name, this.#rules, connection as AnyConnection);
  }

  /** Whether a client is subscribed. @throws ConduitError INVALID_CONFIG */
  has(connection: Peer): boolean {
    return this.#hub.has(this.name, this.#rules, connection as AnyConnection);
  }

  /** The subscribed connections, in the order of subscribing. */
  get subscribers(): Peer[] {
    return Array.from(this.#channel?.members ?? [], ({ peer }) => peer as unknown as Peer);
  }

  /** Number of subscribed connections. */
  get size(): number {
    return this.#channel?.members.size ?? 0;
  }

  /**
   * The subscribers; empty without the option `presence`. In a cluster, subscribers on other nodes are known while
   * this node has subscribers or keeps the topic's history.
   */
  get presence(): PresenceMember[] {
    return Array.from(this.#channel?.presence?.entries ?? [], ([id, user]) => ({ id, user }));
  }

  /**
   * The position after the last message; null if a pattern's topic doesn't exist, or if this node isn't reading a
   * durable topic.
   */
  get position(): string | null {
    return this.#channel?.position ?? null;
  }

  get stats(): TopicStats {
    return this.#channel?.stats ?? NO_STATS;
  }

  /** Ends the topic and all its subscriptions. A topic of a pattern can be created again. */
  close(): void {
    this.#hub.close(this.name, this.#rules);
  }

  get #channel(): TopicChannel | undefined {
    const channel = this.#hub.channel(this.name);
    return channel?.rules === this.#rules ? channel : undefined;
  }
}

/** The topics of a server whose names match a pattern. */
export class TopicPattern<P extends string = string, Data = unknown, Peer = AnyConnection> {
  readonly pattern: P;
  readonly #hub: TopicHub;
  readonly #rules: TopicRules;

  /** @internal */
  constructor(hub: TopicHub, pattern: P, rules: TopicRules) {
    this.pattern = pattern;
    this.#hub = hub;
    this.#rules = rules;
  }

  /**
   * Returns the topic with this name.
   * @throws ConduitError INVALID_CONFIG if the name doesn't match the pattern
   */
  topic(name: TopicNameOf<P>): Topic<Data, Peer> {
    this.#hub.mustFit(name, this.#rules);
    return new Topic<Data, Peer>(this.#hub, name, this.#rules);
  }

  /** The topics that currently exist. */
  get all(): Topic<Data, Peer>[] {
    const all = Array.from(this.#hub.channels).filter(({ rules }) => rules === this.#rules);
    return all.map(({ name }) => new Topic<Data, Peer>(this.#hub, name, this.#rules));
  }

  /** Ends all topics of the pattern, and the pattern itself. */
  close(): void {
    this.#hub.undefine(this.#rules);
  }
}

function selectionOf(options: PublishOptions | undefined): Selection | null {
  const exclude = idSet("exclude", options?.exclude);
  const include = idSet("include", options?.include);
  return exclude === null && include === null ? null : { exclude, include };
}
