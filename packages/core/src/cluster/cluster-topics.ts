/**
 * Topics across nodes: which this node receives, and its messages to the others.
 *
 * Theory of operation. A node receives a topic while it has subscribers of it, or keeps its history. Its own messages go to
 * its subscribers at once and to the other nodes that receive the topic. Each node numbers its messages of a topic, so the
 * others notice when some are missing: then they tell their subscribers that messages were missed. Before each heartbeat, a
 * node also says its number to those that receive a topic to which it has published since the last one: that shows a loss
 * of its first and last messages. {@link ClusterPresence} has who is there on which node.
 */

import type { ConduitError } from "../errors.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import { ClusterPresence, type ClusterPresenceHost, type PresenceTopic } from "./cluster-presence.ts";
import type { ClusterAddress, ClusterSubscription, PublishResult } from "./driver.ts";
import type { DurableTopics } from "./durable-topics.ts";
import { type Envelope, type EnvelopeHead, EnvelopeKind, type NodeIdentity } from "./envelope.ts";
import type { Node, NodeEnd } from "./membership.ts";

/** Recipients among the subscribers. */
export interface TopicSelection {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
}

/** A topic on this node. */
export interface ClusterTopic extends PresenceTopic {
  /** Another node has published. */
  deliver(data: EncodedValue, selection: TopicSelection | null): void;
  /** Messages from other nodes were or may have been missed. */
  interrupted(): void;
}

export interface ClusterTopicsHost extends ClusterPresenceHost {
  subscribe(address: ClusterAddress): ClusterSubscription | null;
  /** `isCounted`: a message of the application, whose loss counts. */
  publish(
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body?: Uint8Array,
    isCounted?: boolean,
  ): PublishResult;
  /** @throws ConduitError MESSAGE_TOO_LARGE */
  mustFit(name: string, body: Uint8Array): void;
  /** Messages of a node to a topic are missing. */
  missed(topic: string, nodeId: string, count: number): void;
}

/** Messages of a run of a node. */
interface Received {
  /** Number of the last one. */
  last: number;
  /** Number of the first one, as long as it isn't known whether there were others before it; else null. */
  readonly first: number | null;
}

/** A topic that this node receives. */
interface Entry {
  readonly topic: ClusterTopic;
  subscription: ClusterSubscription | null;
  /** Messages that others publish after this time arrive, or count as lost; monotonic milliseconds. */
  receivesSinceMs: number;
  /** By epoch; also of runs that aren't heard any more: they may return. */
  readonly messages: Map<string, Received>;
  /** When subscribers last heard that messages may be missing. */
  interruptedAtMs: number;
}

/** Runs of nodes whose messages to a topic are counted. */
const MAX_COUNTED = 1000;
/** Topics whose messages are numbered. A node that numbers a topic anew looks like a new publisher. */
const MAX_NUMBERED = 10_000;

export class ClusterTopics {
  readonly durable: DurableTopics;
  readonly presence: ClusterPresence;
  readonly #host: ClusterTopicsHost;
  readonly #entries = new Map<string, Entry>();
  /** Number of the last message of this node, by topic. */
  readonly #numbers = new Map<string, number>();
  /** Number of messages of this node since its last heartbeat, by topic. */
  readonly #published = new Map<string, number>();
  /** When the subscribers of all topics last heard that messages may be missing. */
  #interruptedAtMs = Number.NEGATIVE_INFINITY;
  #hasStopped = false;

  constructor(host: ClusterTopicsHost, durable: DurableTopics) {
    this.#host = host;
    this.durable = durable;
    this.presence = new ClusterPresence(host);
  }

  /** Number of topics that this node receives. */
  get size(): number {
    return this.#entries.size;
  }

  /** The link exists now: topics that are received already are subscribed to. */
  start(): void {
    // Messages that others published since the last run ended are missing.
    if (this.#hasStopped) this.interrupted();
    this.durable.start();
    for (const entry of this.#entries.values()) this.#subscribe(entry);
  }

  /** The link ends. @param reason null if this node leaves; then its subscribers come back elsewhere */
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

  /** This node receives the topic from now on. Does nothing if it does. */
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

  /** Resolves when messages that other nodes publish from now on arrive. */
  ready(name: string): Promise<void> {
    return this.#entries.get(name)?.subscription?.ready ?? Promise.resolve();
  }

  /** This node doesn't receive the topic any more. */
  close(topic: ClusterTopic): void {
    const entry = this.#entries.get(topic.name);
    if (entry?.topic !== topic) return;
    this.#entries.delete(topic.name);
    this.presence.close(topic);
    entry.subscription?.unsubscribe();
    // If the topic is received again, messages that others publish until then are missing.
    topic.interrupted();
  }

  /** @throws ConduitError MESSAGE_TOO_LARGE if the link takes no message of this size */
  mustFit(topic: string, { bytes }: EncodedValue): void {
    this.#host.mustFit(topic, bytes);
  }

  /** This node has published. */
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
   * Says where this node is in the topics that it has published to, or whose presence has changed, since its last heartbeat.
   * Call it before the next one.
   * @param sequence number of the last heartbeat
   */
  sayPositions(sequence: number): void {
    const told = this.presence.takeTold();
    for (const topic of new Set([...this.#published.keys(), ...told.keys()])) {
      const change = told.get(topic);
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
    this.presence.askAgain();
  }

  // --- from other nodes ---------------------------------------------------------------------------------------------

  /** @throws ConduitError MALFORMED_PAYLOAD; MESSAGE_TOO_LARGE if subscribers here can't be sent a message */
  received({ kind, from, head, body }: Envelope): void {
    if (kind === EnvelopeKind.PRESENCE_QUESTION) {
      this.presence.questionArrived(from, head);
      return;
    }
    if (kind === EnvelopeKind.PRESENCE) {
      this.presence.received(from, head);
      return;
    }
    const entry = this.#entries.get(head.text("topic"));
    if (entry === undefined) return;
    if (kind === EnvelopeKind.POSITION) {
      this.#positionArrived(entry, from, head);
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
      this.#tellOf(entry);
      throw error;
    }
  }

  /**
   * Messages of a node may be missing. Subscribers hear of an outage once: if they have heard of it since the node fell silent,
   * what is missing of it lies before and behind that, too.
   * @param heardAtMs when it was heard before
   */
  missedFrom(node: Node, heardAtMs: number): void {
    this.presence.meet(node);
    // After its last heartbeat, it may have been heard until the next one was due.
    const fellSilentAtMs = heardAtMs + this.#host.heartbeatMs;
    for (const entry of [...this.#entries.values()]) {
      if (fellSilentAtMs > entry.interruptedAtMs) this.#interrupt(entry);
    }
  }

  gone(node: Node, why: NodeEnd): void {
    this.presence.gone(node);
    // A node that was only cut off goes on with its numbers, which show what is missing.
    if (why === "timeout") return;
    for (const { messages } of this.#entries.values()) messages.delete(node.epoch);
  }

  /** Messages of other nodes may have been lost. */
  interrupted(): void {
    this.#interruptedAtMs = this.#host.now();
    for (const entry of [...this.#entries.values()]) this.#interrupt(entry);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #interrupt(entry: Entry): void {
    const now = this.#host.now();
    entry.messages.clear();
    entry.interruptedAtMs = now;
    // Losses before this have been told.
    if (entry.receivesSinceMs < now) entry.receivesSinceMs = now;
    entry.topic.interrupted();
  }

  #subscribe(entry: Entry): void {
    const subscription = this.#host.subscribe({ kind: "topic", name: entry.topic.name });
    entry.subscription = subscription;
    void subscription?.ready.then(() => {
      if (entry.subscription === subscription) entry.receivesSinceMs = this.#host.now();
    });
    this.presence.ask(entry.topic);
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
    this.#tellOf(entry);
  }

  /** Subscribers hear that they have missed something. */
  #tellOf(entry: Entry): void {
    entry.interruptedAtMs = this.#host.now();
    entry.topic.interrupted();
  }

  /** A node says how many messages of a topic there were until now, and since its last heartbeat. */
  #positionArrived(entry: Entry, from: NodeIdentity, head: EnvelopeHead): void {
    const { topic, messages, receivesSinceMs } = entry;
    const { id, epoch } = from;
    const node = this.#host.node(id);
    if (node?.epoch !== epoch) return;
    const [last, count] = [head.count("i"), head.count("count")];
    const known = messages.get(epoch);
    this.#received(entry, epoch, { last, first: null });
    // This node received the topic already when it heard the heartbeat before that one, which may have been sent earlier: so
    // all messages since that one are for it.
    const areAllHere = node.sequence === head.count("beat") && node.formerBeatAtMs > receivesSinceMs;
    const before = last - count;
    let missing = known === undefined ? 0 : Math.max(0, last - known.last);
    if (areAllHere && known === undefined) missing = count;
    else if (areAllHere && known?.first != null) missing += Math.max(0, known.first - before - 1);
    if (missing > 0) this.#missed(entry, id, missing);
    if (head.raw("change") !== undefined) this.presence.positionArrived(from, topic.name, head.count("change"));
  }
}
