import { forCaller, withCallerStack } from "../../errors.ts";
import type { TopicNameOf } from "../../rpc/contract.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { idSet } from "../broadcast.ts";
import type { AnyConnection } from "../connection.ts";
import type { Selection, TopicChannel, TopicStats } from "./topic-channel.ts";
import type { TopicHub } from "./topic-hub.ts";
import type { Admission, TopicRules } from "./topic-options.ts";

/** Recipients of a publish. Such a message has no place in the topic's history, and isn't sent again. */
export interface PublishOptions {
  /** Connection id, or ids, to leave out. */
  readonly exclude?: string | Iterable<string> | undefined;
  /** Connection id, or ids; if given, only these receive the message. Others than subscribers never do. */
  readonly include?: string | Iterable<string> | undefined;
}

/** A subscriber in a topic's presence. */
export interface PresenceMember {
  /** Id of the connection. */
  readonly id: string;
  /** As returned by `authorize`, or passed to `add`; null if there is none. */
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
 * A topic of a server. One of a pattern exists on the server while it has subscribers or messages to keep; this object
 * may be used before and after.
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
   * Sends data to all subscribers, or to those that `options` select, on all nodes. It is encoded once. With a durable topic it
   * begins to append the data for all, and `onError` hears of a failure; `append` can be waited for.
   * @returns the number of this node's subscribers that it was queued for, or is kept for until they read
   * @throws ConduitError INVALID_STATE (the topic has ended), UNSERIALIZABLE, MESSAGE_TOO_LARGE; RpcError VALIDATION.
   *   Nothing was sent then
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
   * Publishes to a durable topic. Resolves with the place behind the message when the log has stored it, as safely as the engine
   * was told to store; then every subscriber gets it, now or when it comes back, as long as the log keeps it.
   * @param options.id a message with an id that was appended within the last two minutes, or the history's `ageMs` if that is
   *   shorter, isn't appended again. Default: a new one
   * @throws ConduitError INVALID_STATE (not durable, or ended), UNSERIALIZABLE, MESSAGE_TOO_LARGE, CLUSTER_UNAVAILABLE (it may
   *   be stored nevertheless); RpcError VALIDATION
   */
  append(data: Data, options: { readonly id?: string | undefined } = {}): Promise<string> {
    return forCaller(() => {
      APPEND.check(options);
      return this.#hub.append(this.name, this.#rules, data, options.id ?? crypto.randomUUID());
    });
  }

  /**
   * Subscribes a client that didn't ask for it. Its `onSubscribed` hooks run.
   * @returns false if it is subscribed already
   * @throws ConduitError INVALID_CONFIG (no connection of a server), CONNECTION_CLOSED, PEER_UNSUPPORTED,
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

  /** The connections that are subscribed, in the order in which they came. */
  get subscribers(): Peer[] {
    return Array.from(this.#channel?.members ?? [], ({ peer }) => peer as unknown as Peer);
  }

  /** Number of connections that are subscribed. */
  get size(): number {
    return this.#channel?.members.size ?? 0;
  }

  /**
   * The subscribers; empty without the option `presence`. In a cluster, subscribers on other nodes are known while this
   * node receives the topic: while it has subscribers of it, or keeps its history.
   */
  get presence(): PresenceMember[] {
    return Array.from(this.#channel?.presence?.entries ?? [], ([id, user]) => ({ id, user }));
  }

  /**
   * The place behind the last message; null if a pattern's topic doesn't exist now, or this node hasn't read a durable one.
   */
  get position(): string | null {
    return this.#channel?.position ?? null;
  }

  get stats(): TopicStats {
    return this.#channel?.stats ?? NO_STATS;
  }

  /** Ends the topic and all subscriptions to it. A topic of a pattern may begin anew. */
  close(): void {
    this.#hub.close(this.name, this.#rules);
  }

  get #channel(): TopicChannel | undefined {
    const channel = this.#hub.channel(this.name);
    return channel?.rules === this.#rules ? channel : undefined;
  }
}

/** The topics of a server whose names fit a pattern. */
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
   * The topic of this name.
   * @throws ConduitError INVALID_CONFIG if the name doesn't fit the pattern
   */
  topic(name: TopicNameOf<P>): Topic<Data, Peer> {
    this.#hub.mustFit(name, this.#rules);
    return new Topic<Data, Peer>(this.#hub, name, this.#rules);
  }

  /** The topics that exist now. */
  get all(): Topic<Data, Peer>[] {
    const all = Array.from(this.#hub.channels).filter(({ rules }) => rules === this.#rules);
    return all.map(({ name }) => new Topic<Data, Peer>(this.#hub, name, this.#rules));
  }

  /** Ends all of them. No new ones begin. */
  close(): void {
    this.#hub.undefine(this.#rules);
  }
}

function selectionOf(options: PublishOptions | undefined): Selection | null {
  const exclude = idSet("exclude", options?.exclude);
  const include = idSet("include", options?.include);
  return exclude === null && include === null ? null : { exclude, include };
}
