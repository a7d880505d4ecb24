/**
 * Topics across nodes: subscribes this node to topics, and publishes its messages to the other nodes.
 *
 * Theory of operation. A node is subscribed to a topic while it has subscribers or keeps the topic's history. It
 * delivers its own messages to local subscribers directly, and publishes them to the other subscribed nodes. Each
 * node numbers its messages per topic, so that the others detect a gap and notify their subscribers that messages
 * were missed. Before each heartbeat, a node also publishes its position in the topics that it has published to since
 * the previous one, which reveals lost first and last messages. {@link ClusterPresence} handles presence.
 */

import type { ConduitError } from "../errors.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import { ClusterPresence, type ClusterPresenceHost, type PresenceTopic } from "./cluster-presence.ts";
import type { ClusterAddress, ClusterSubscription, PublishResult } from "./driver.ts";
import type { DurableTopics } from "./durable-topics.ts";
import { type Envelope, type EnvelopeHead, EnvelopeKind, type NodeIdentity } from "./envelope.ts";
import type { Node, NodeEnd } from "./membership.ts";

/** A selection of subscribers. */
export interface TopicSelection {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
}

/** A topic on this node. */
export interface ClusterTopic extends PresenceTopic {
  /** Delivers another node's message to local subscribers. */
  deliver(data: EncodedValue, selection: TopicSelection | null): void;
  /** Notifies local subscribers that messages from other nodes may have been missed. */
  interrupted(): void;
}

export interface ClusterTopicsHost extends ClusterPresenceHost {
  subscribe(address: ClusterAddress): ClusterSubscription | null;
  /** `isCounted`: whether this is an application message, whose loss is counted. */
  publish(
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body?: Uint8Array,
    isCounted?: boolean,
  ): PublishResult;
  /** @throws ConduitError MESSAGE_TOO_LARGE */
  mustFit(name: string, body: Uint8Array): void;
  /** A node's messages to a topic were missed. */
  missed(topic: string, nodeId: string, count: number): void;
}

/** The messages received from a run. */
interface Received {
  /** Number of the last message. */
  last: number;
  /** Number of the first message while it is unknown whether earlier ones were missed; null otherwise. */
  readonly first: number | null;
}

/** A topic that this node is subscribed to. */
interface Entry {
  readonly topic: ClusterTopic;
  subscription: ClusterSubscription | null;
  /** Messages published by others after this time arrive or count as lost; monotonic milliseconds. */
  receivesSinceMs: number;
  /** By epoch. Includes runs that have timed out, which may return. */
  readonly messages: Map<string, Received>;
  /** When subscribers were last notified of missed messages. */
  interruptedAtMs: number;
}

/** Runs to keep track of per topic. */
const MAX_COUNTED = 1000;
/** Topics to keep numbers for. If numbering restarts, the node looks like a new publisher. */
const MAX_NUMBERED = 10_000;

export class ClusterTopics {
  readonly durable: DurableTopics;
  readonly presence: ClusterPresence;
  readonly #host: ClusterTopicsHost;
  readonly #entries = new Map<string, Entry>();
  /** Number of this node's last message, by topic. */
  readonly #numbers = new Map<string, number>();
  /** How many messages this node has published since its last heartbeat, by topic. */
  readonly #published = new Map<string, number>();
  /** When the subscribers of all topics were last notified of missed messages. */
  #interruptedAtMs = Number.NEGATIVE_INFINITY;
  #hasStopped = false;

  constructor(host: ClusterTopicsHost, durable: DurableTopics) {
    this.#host = host;
    this.durable = durable;
    this.presence = new ClusterPresence(host);
  }

  /** Number of topics that this node is subscribed to. */
  get size(): number {
    return this.#entries.size;
  }

  /** Subscribes over a new link to all open topics. */
  start(): void {
    // Messages published since the last run ended were missed.
    if (this.#hasStopped) this.interrupted();
    this.durable.start();
    for (const entry of this.#entries.values()) this.#subscribe(entry);
  }

  /** The link has ended. @param reason null if this node leaves, so that its subscribers reconnect elsewhere */
  stop(reason: ConduitError | null): void {
    this.#hasStopped = true;
    this.durable.stop(reason);
    this.presence.stop();
    this.#published.clear();
    for (const entry of this.#entries.values()) {
      entry.subscription = null;
      entry.receivesSinceMs = Number.POSITIVE_INFINITY;
    }
    this.interrupted();
  }

  /** Subscribes this node to the topic. Does nothing if it is subscribed already. */
  open(topic: ClusterTopic): void {
    if (this.#entries.has(topic.name)) return;
    const entry: Entry = {
      topic,
      subscription: null,
      receivesSinceMs: Number.POSITIVE_INFINITY,
      messages: new Map(),
      interruptedAtMs: this.#interruptedAtMs,
    };
    this.#entries.set(topic.name, entry);
    this.presence.open(topic);
    this.#subscribe(entry);
  }

  /** Resolves when messages published by other nodes from then on arrive. */
  ready(name: string): Promise<void> {
    return this.#entries.get(name)?.subscription?.ready ?? Promise.resolve();
  }

  /** Unsubscribes this node from the topic. */
  close(topic: ClusterTopic): void {
    const entry = this.#entries.get(topic.name);
    if (entry?.topic !== topic) return;
    this.#entries.delete(topic.name);
    this.presence.close(topic);
    entry.subscription?.unsubscribe();
    // If this node subscribes again, it will have missed the messages in between.
    topic.interrupted();
  }

  /** @throws ConduitError MESSAGE_TOO_LARGE if the message exceeds the link's limit */
  mustFit(topic: string, { bytes }: EncodedValue): void {
    this.#host.mustFit(topic, bytes);
  }

  /** Publishes this node's message to the other nodes. */
  publish(topic: string, data: EncodedValue, selection: TopicSelection | null): void {
    const number = (this.#numbers.get(topic) ?? 0) + 1;
    this.#numbers.delete(topic);
    this.#numbers.set(topic, number);
    this.#published.set(topic, (this.#published.get(topic) ?? 0) + 1);
    if (this.#numbers.size > MAX_NUMBERED) {
      const oldest = this.#numbers.keys().next().value as string;
      this.#numbers.delete(oldest);
      this.#published.delete(oldest);
    }
    const { exclude, include } = selection ?? { exclude: null, include: null };
    const head = {
      topic,
      i: number,
      ...(exclude === null ? {} : { exclude: [...exclude] }),
      ...(include === null ? {} : { include: [...include] }),
    };
    this.#host.publish({ kind: "topic", name: topic }, EnvelopeKind.PUBLISH, head, data.bytes, true);
  }

  /**
   * Publishes this node's position in the topics that it has published to, or whose presence has changed, since its
   * last heartbeat. Call this before the next heartbeat.
   * @param sequence sequence number of the last heartbeat
   */
  publishPositions(sequence: number): void {
    const changes = this.presence.takeChangeNumbers();
    for (const topic of new Set([...this.#published.keys(), ...changes.keys()])) {
      const change = changes.get(topic);
      const head = {
        topic,
        i: this.#numbers.get(topic) ?? 0,
        count: this.#published.get(topic) ?? 0,
        beat: sequence,
        ...(change === undefined ? {} : { change }),
      };
      this.#host.publish({ kind: "topic", name: topic }, EnvelopeKind.POSITION, head);
    }
    this.#published.clear();
    this.presence.repeatQueries();
  }

  // --- from other nodes ---------------------------------------------------------------------------------------------

  /** @throws ConduitError MALFORMED_PAYLOAD; MESSAGE_TOO_LARGE if a message exceeds the limit of local subscribers */
  received({ kind, from, head, body }: Envelope): void {
    if (kind === EnvelopeKind.PRESENCE_QUESTION) {
      this.presence.queryReceived(from, head);
      return;
    }
    if (kind === EnvelopeKind.PRESENCE) {
      this.presence.received(from, head);
      return;
    }
    const entry = this.#entries.get(head.text("topic"));
    if (entry === undefined) return;
    if (kind === EnvelopeKind.POSITION) {
      this.#positionReceived(entry, from, head);
      return;
    }
    this.#countMessage(entry, from, head.count("i"));
    const exclude = head.texts("exclude");
    const include = head.texts("include");
    const selection =
      exclude === null && include === null
        ? null
        : { exclude: exclude && new Set(exclude), include: include && new Set(include) };
    try {
      entry.topic.deliver(new EncodedValue(body), selection);
    } catch (error) {
      this.#notifyInterrupted(entry);
      throw error;
    }
  }

  /**
   * Messages from a node may have been missed. Subscribers are notified once for each outage: if they were notified
   * after the node fell silent, that notification covers these messages as well.
   * @param heardAtMs when the node's previous message arrived
   */
  missedFrom(node: Node, heardAtMs: number): void {
    this.presence.nodeJoined(node);
    // The node was reachable until its next heartbeat was due, at the latest.
    const fellSilentAtMs = heardAtMs + this.#host.heartbeatMs;
    for (const entry of [...this.#entries.values()]) {
      if (fellSilentAtMs > entry.interruptedAtMs) this.#interrupt(entry);
    }
  }

  nodeLeft(node: Node, why: NodeEnd): void {
    this.presence.nodeLeft(node);
    // A node that was only unreachable continues its numbers, which reveal missed messages.
    if (why === "timeout") return;
    for (const { messages } of this.#entries.values()) messages.delete(node.epoch);
  }

  /** Messages from other nodes may have been lost. */
  interrupted(): void {
    this.#interruptedAtMs = this.#host.now();
    for (const entry of [...this.#entries.values()]) this.#interrupt(entry);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #interrupt(entry: Entry): void {
    const now = this.#host.now();
    entry.messages.clear();
    entry.interruptedAtMs = now;
    // Earlier losses have been reported.
    if (entry.receivesSinceMs < now) entry.receivesSinceMs = now;
    entry.topic.interrupted();
  }

  #subscribe(entry: Entry): void {
    const subscription = this.#host.subscribe({ kind: "topic", name: entry.topic.name });
    entry.subscription = subscription;
    void subscription?.ready.then(() => {
      if (entry.subscription === subscription) entry.receivesSinceMs = this.#host.now();
    });
    this.presence.queryAll(entry.topic);
  }

  #countMessage(entry: Entry, { id, epoch }: NodeIdentity, number: number): void {
    const { messages } = entry;
    const known = messages.get(epoch);
    if (known === undefined) {
      this.#received(entry, epoch, { last: number, first: number });
      return;
    }
    const { last } = known;
    known.last = number;
    if (number > last + 1) this.#missed(entry, id, number - last - 1);
  }

  #received({ messages }: Entry, epoch: string, received: Received): void {
    messages.set(epoch, received);
    if (messages.size > MAX_COUNTED) messages.delete(messages.keys().next().value as string);
  }

  #missed(entry: Entry, nodeId: string, count: number): void {
    this.#host.missed(entry.topic.name, nodeId, count);
    this.#notifyInterrupted(entry);
  }

  /** Notifies the topic's subscribers that they have missed messages. */
  #notifyInterrupted(entry: Entry): void {
    entry.interruptedAtMs = this.#host.now();
    entry.topic.interrupted();
  }

  /** Handles a node's position in a topic: its last number, and the count since its last heartbeat. */
  #positionReceived(entry: Entry, from: NodeIdentity, head: EnvelopeHead): void {
    const { topic, messages, receivesSinceMs } = entry;
    const { id, epoch } = from;
    const node = this.#host.node(id);
    if (node?.epoch !== epoch) return;
    const [last, count] = [head.count("i"), head.count("count")];
    const known = messages.get(epoch);
    this.#received(entry, epoch, { last, first: null });
    // This node was subscribed when the heartbeat before that one arrived, so it should have received all messages since.
    const areAllHere = node.sequence === head.count("beat") && node.formerBeatAtMs > receivesSinceMs;
    const before = last - count;
    let missing = known === undefined ? 0 : Math.max(0, last - known.last);
    if (areAllHere && known === undefined) missing = count;
    else if (areAllHere && known?.first != null) missing += Math.max(0, known.first - before - 1);
    if (missing > 0) this.#missed(entry, id, missing);
    if (head.raw("change") !== undefined) this.presence.changeNumberReceived(from, topic.name, head.count("change"));
  }
}
