/**
 * Topics across nodes: which this node receives, what it publishes to the others, and who is there on which node.
 *
 * Theory of operation. A node receives a topic while it has subscribers of it, or keeps its history. What it publishes goes to
 * its own subscribers at once and to the other nodes that receive the topic. Each node numbers its messages of a topic, so
 * the others notice when some are missing: then they tell their subscribers that messages were missed.
 *
 * Presence: each node tells the others who has joined and left on it, gathered for a moment and numbered, and sends everybody
 * who is there when asked. It is asked by a node that begins to receive the topic, that has missed something, or that meets
 * it (again). What a node has told counts while that run of it is alive, or until it says that it has nobody in the topic.
 */

import type { ConduitError } from "../errors.ts";
import { MAX_PRESENCE_CHARS } from "../extensions/topics/topic.ts";
import { PRESENCE_WINDOW_MS } from "../limits.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import type { ClusterAddress, ClusterSubscription, PublishResult } from "./driver.ts";
import type { DurableTopics } from "./durable-topics.ts";
import { type Envelope, EnvelopeKind, malformed, type NodeIdentity } from "./envelope.ts";
import type { Node, NodeEnd } from "./membership.ts";

/** Somebody in a topic: id of the connection, and the user. */
export type PresenceEntry = readonly [id: string, user: string | null];

/** Recipients among the subscribers. */
export interface TopicSelection {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
}

/** A topic on this node. */
export interface ClusterTopic {
  readonly name: string;
  readonly hasPresence: boolean;
  /** Subscribers on this node. */
  ownPresence(): Iterable<PresenceEntry>;
  /** Another node has published. */
  deliver(data: EncodedValue, selection: TopicSelection | null): void;
  /** Messages from other nodes were or may have been missed. */
  interrupted(): void;
  /** Others have joined and left on a run of a node. `isAll`: nobody else is there. */
  othersChanged(epoch: string, joined: readonly PresenceEntry[], left: readonly string[], isAll: boolean): void;
  /** A run of a node is gone, with its part of presence. */
  othersGone(epoch: string): void;
}

export interface ClusterTopicsHost {
  readonly wheel: TimerWheel;
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
  /** The run of this id that is alive. */
  node(id: string): Node | undefined;
  /** Time between two signs of life of a node. */
  readonly heartbeatMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Messages of a node to a topic are missing. */
  missed(topic: string, nodeId: string, count: number): void;
}

/** A topic that this node receives. */
interface Entry {
  readonly topic: ClusterTopic;
  subscription: ClusterSubscription | null;
  /** Number of the last message of each run of a node, by epoch; also of runs that aren't heard any more: they may return. */
  readonly messages: Map<string, number>;
  /** Number of the last change of presence of each run, by epoch. */
  readonly changes: Map<string, number>;
  /** Number of this node's last change of presence. */
  ownChange: number;
  /** Connections that have joined (with the user) or left (null) since the last change was sent. */
  readonly untold: Map<string, PresenceEntry | null>;
  /** Whether a change couldn't be sent. */
  isBehind: boolean;
  /** When subscribers last heard that messages may be missing. */
  interruptedAtMs: number;
}

/** People in one message. */
const MAX_PART = 500;
/** Runs of nodes whose messages to a topic are counted. */
const MAX_COUNTED = 1000;
/** Topics whose messages are numbered. One that is numbered anew looks like a new publisher. */
const MAX_NUMBERED = 10_000;
/** Closed topics that others still have to hear of. */
const MAX_UNSAID = 10_000;

export class ClusterTopics {
  readonly durable: DurableTopics;
  readonly #host: ClusterTopicsHost;
  readonly #entries = new Map<string, Entry>();
  /** Number of the last message of this node, by topic. */
  readonly #numbers = new Map<string, number>();
  readonly #changed = new Set<Entry>();
  readonly #timer: CallbackTimer;
  /** Names of closed topics in which others may still see people of this node. */
  readonly #unsaid = new Set<string>();
  /** When the subscribers of all topics last heard that messages may be missing. */
  #interruptedAtMs = Number.NEGATIVE_INFINITY;
  #hasStopped = false;

  constructor(host: ClusterTopicsHost, durable: DurableTopics) {
    this.#host = host;
    this.durable = durable;
    this.#timer = new CallbackTimer(() => this.#tell());
  }

  /** Number of topics that this node receives. */
  get size(): number {
    return this.#entries.size;
  }

  /** The link exists now: topics that are received already are subscribed to. */
  start(): void {
    // Messages that others published since the last run ended are missing.
    if (this.#hasStopped) this.interrupted();
    for (const entry of this.#entries.values()) this.#subscribe(entry);
  }

  /** The link ends. @param reason null if this node leaves; then its subscribers come back elsewhere */
  stop(reason: ConduitError | null): void {
    this.#hasStopped = true;
    this.durable.stop(reason);
    this.#host.wheel.cancel(this.#timer);
    this.#unsaid.clear();
    for (const entry of this.#entries.values()) {
      entry.subscription = null;
      for (const epoch of entry.changes.keys()) entry.topic.othersGone(epoch);
      entry.changes.clear();
    }
    this.interrupted();
  }

  /** This node receives the topic from now on. Does nothing if it does. */
  open(topic: ClusterTopic): void {
    if (this.#entries.has(topic.name)) return;
    const entry: Entry = {
      topic,
      subscription: null,
      messages: new Map(),
      changes: new Map(),
      ownChange: 0,
      untold: new Map(),
      isBehind: this.#unsaid.delete(topic.name),
      interruptedAtMs: this.#interruptedAtMs,
    };
    this.#entries.set(topic.name, entry);
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
    this.#tellOf(entry);
    this.#changed.delete(entry);
    this.#entries.delete(topic.name);
    if (entry.isBehind) this.#leaveUnsaid(topic.name);
    entry.subscription?.unsubscribe();
    for (const epoch of entry.changes.keys()) topic.othersGone(epoch);
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
    if (this.#numbers.size > MAX_NUMBERED) this.#numbers.delete(this.#numbers.keys().next().value as string);
    const { exclude, include } = selection ?? { exclude: null, include: null };
    const head = {
      topic,
      i: number,
      ...(exclude === null ? {} : { exclude: [...exclude] }),
      ...(include === null ? {} : { include: [...include] }),
    };
    this.#host.publish({ kind: "topic", name: topic }, EnvelopeKind.PUBLISH, head, data.bytes, true);
  }

  /** Somebody has joined the topic on this node, has another user, or has left. */
  presenceChanged(topic: ClusterTopic, id: string, entry: PresenceEntry | null): void {
    const known = this.#entries.get(topic.name);
    if (known === undefined) return;
    known.untold.set(id, entry);
    this.#changed.add(known);
    if (!this.#timer.isScheduled) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
  }

  // --- from other nodes ---------------------------------------------------------------------------------------------

  /** @throws ConduitError MALFORMED_PAYLOAD */
  received({ kind, from, head, body }: Envelope): void {
    if (kind === EnvelopeKind.PRESENCE_QUESTION) {
      const unknown = (head.texts("topics") ?? []).filter((name) => !this.#answer(name, from));
      if (unknown.length > 0) this.#sayNobody({ kind: "node", name: from.id }, unknown);
      return;
    }
    if (kind === EnvelopeKind.PRESENCE && head.raw("nobody") !== undefined) {
      for (const name of head.texts("nobody") ?? []) this.#nobodyAt(name, from);
      return;
    }
    const entry = this.#entries.get(head.text("topic"));
    if (entry === undefined) return;
    if (kind === EnvelopeKind.PRESENCE) {
      const joined = entriesIn(head.raw("joined"));
      const left = head.texts("left") ?? [];
      this.#presenceArrived(entry, from, head.count("i"), joined, left, head.raw("all") === true);
      return;
    }
    this.#countMessage(entry, from, head.count("i"));
    const exclude = head.texts("exclude");
    const include = head.texts("include");
    const selection =
      exclude === null && include === null
        ? null
        : { exclude: exclude && new Set(exclude), include: include && new Set(include) };
    entry.topic.deliver(new EncodedValue(body), selection);
  }

  /** A run of a node was heard for the first time, or again, or messages of it are missing. */
  meet(node: Node): void {
    const topics = [...this.#entries.values()].filter(({ topic }) => topic.hasPresence).map(({ topic }) => topic.name);
    for (let from = 0; from < topics.length; from += MAX_PART) {
      const head = { topics: topics.slice(from, from + MAX_PART) };
      this.#host.publish({ kind: "node", name: node.id }, EnvelopeKind.PRESENCE_QUESTION, head);
    }
  }

  /**
   * Messages of a node may be missing. Subscribers hear of an outage once: if they have heard of it since the node fell silent,
   * what is missing of it lies before and behind that, too.
   * @param heardAtMs when it was heard before
   */
  missedFrom(node: Node, heardAtMs: number): void {
    this.meet(node);
    // After its last heartbeat, it may have been heard until the next one was due.
    const fellSilentAtMs = heardAtMs + this.#host.heartbeatMs;
    for (const entry of [...this.#entries.values()]) {
      if (fellSilentAtMs > entry.interruptedAtMs) this.#interrupt(entry);
    }
  }

  gone({ epoch }: Node, why: NodeEnd): void {
    for (const { topic, changes, messages } of this.#entries.values()) {
      // One that was only cut off goes on with its numbers, which show what is missing.
      if (why !== "timeout") messages.delete(epoch);
      if (changes.delete(epoch)) topic.othersGone(epoch);
    }
  }

  /** Messages of other nodes may have been lost. */
  interrupted(): void {
    this.#interruptedAtMs = this.#host.now();
    for (const entry of [...this.#entries.values()]) this.#interrupt(entry);
  }

  /** This node's messages may not have arrived: all who are here are told again. */
  mayBeBehind(): void {
    for (const entry of this.#entries.values()) {
      if (entry.topic.hasPresence) this.#tellAll(entry, { kind: "topic", name: entry.topic.name });
    }
  }

  /** The link works again. */
  reconnected(): void {
    this.#sayUnsaid();
    for (const entry of this.#entries.values()) {
      if (!entry.topic.hasPresence) continue;
      // Changes made without a link haven't been sent.
      if (entry.isBehind) this.#tellAll(entry, { kind: "topic", name: entry.topic.name });
      this.#askAll(entry);
    }
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #interrupt(entry: Entry): void {
    entry.messages.clear();
    entry.interruptedAtMs = this.#host.now();
    entry.topic.interrupted();
  }

  #subscribe(entry: Entry): void {
    entry.subscription = this.#host.subscribe({ kind: "topic", name: entry.topic.name });
    if (entry.topic.hasPresence) this.#askAll(entry);
  }

  #askAll({ topic }: Entry): void {
    this.#host.publish({ kind: "topic", name: topic.name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [topic.name] });
  }

  #countMessage(entry: Entry, { id, epoch }: NodeIdentity, number: number): void {
    const { topic, messages } = entry;
    const last = messages.get(epoch);
    messages.set(epoch, number);
    if (messages.size > MAX_COUNTED) messages.delete(messages.keys().next().value as string);
    if (last === undefined || number <= last + 1) return;
    this.#host.missed(topic.name, id, number - last - 1);
    entry.interruptedAtMs = this.#host.now();
    topic.interrupted();
  }

  #presenceArrived(
    { topic, changes }: Entry,
    { id, epoch }: NodeIdentity,
    number: number,
    joined: readonly PresenceEntry[],
    left: readonly string[],
    isAll: boolean,
  ): void {
    // A run that isn't known to be alive is asked when it is.
    if (!topic.hasPresence || this.#host.node(id)?.epoch !== epoch) return;
    const last = changes.get(epoch);
    if (!isAll && number !== last && number !== (last ?? 0) + 1) {
      const question = { topics: [topic.name] };
      this.#host.publish({ kind: "node", name: id }, EnvelopeKind.PRESENCE_QUESTION, question);
      return;
    }
    changes.set(epoch, number);
    topic.othersChanged(epoch, joined, left, isAll);
  }

  /** Returns false if this node has nobody there. */
  #answer(name: string, from: NodeIdentity): boolean {
    const entry = this.#entries.get(name);
    if (entry === undefined || !entry.topic.hasPresence) return false;
    this.#tellOf(entry);
    this.#changed.delete(entry);
    this.#tellAll(entry, { kind: "node", name: from.id });
    return true;
  }

  #sayNobody(to: ClusterAddress, nobody: readonly string[]): boolean {
    return this.#host.publish(to, EnvelopeKind.PRESENCE, { nobody }) === "sent";
  }

  /** A node has nobody in the topic, and numbers its changes anew. */
  #nobodyAt(name: string, { epoch }: NodeIdentity): void {
    const entry = this.#entries.get(name);
    if (entry?.changes.delete(epoch) === true) entry.topic.othersGone(epoch);
  }

  #leaveUnsaid(name: string): void {
    this.#unsaid.add(name);
    if (this.#unsaid.size > MAX_UNSAID) this.#unsaid.delete(this.#unsaid.keys().next().value as string);
  }

  #sayUnsaid(): void {
    const names = [...this.#unsaid];
    for (let from = 0; from < names.length; from += MAX_PART) {
      const part = names.slice(from, from + MAX_PART);
      if (!this.#sayNobody({ kind: "all", name: "" }, part)) return;
      for (const name of part) this.#unsaid.delete(name);
    }
  }

  #tell(): void {
    this.#sayUnsaid();
    for (const entry of this.#changed) this.#tellOf(entry);
    this.#changed.clear();
  }

  /** Sends the gathered changes to the other nodes. */
  #tellOf(entry: Entry): void {
    if (entry.untold.size === 0) return;
    const joined = [...entry.untold.values()].filter((one) => one !== null);
    const left = [...entry.untold].filter(([, one]) => one === null).map(([id]) => id);
    entry.untold.clear();
    entry.ownChange += 1;
    if (!this.#send(entry, { kind: "topic", name: entry.topic.name }, joined, left, false)) entry.isBehind = true;
  }

  /** Sends everybody who is here to the others or to one node. */
  #tellAll(entry: Entry, to: ClusterAddress): void {
    const isTold = this.#send(entry, to, [...entry.topic.ownPresence()], [], true);
    if (to.kind === "topic") entry.isBehind = !isTold;
  }

  /** In parts: each is followed by the rest, with the same number. Returns whether all were sent. */
  #send(
    { topic, ownChange }: Entry,
    to: ClusterAddress,
    joined: readonly PresenceEntry[],
    left: readonly string[],
    isAll: boolean,
  ): boolean {
    let isSent = true;
    for (let from = 0; from === 0 || from < Math.max(joined.length, left.length); from += MAX_PART) {
      const head = {
        topic: topic.name,
        i: ownChange,
        joined: joined.slice(from, from + MAX_PART),
        left: left.slice(from, from + MAX_PART),
        ...(isAll && from === 0 ? { all: true } : {}),
      };
      if (this.#host.publish(to, EnvelopeKind.PRESENCE, head) !== "sent") isSent = false;
    }
    return isSent;
  }
}

/** @throws ConduitError MALFORMED_PAYLOAD */
function entriesIn(value: unknown): readonly PresenceEntry[] {
  if (Array.isArray(value) && value.every(isEntry)) return value;
  throw malformed("joined", "a list of ids and users");
}

function isEntry(value: unknown): value is PresenceEntry {
  if (!Array.isArray(value)) return false;
  const [id, user] = value as unknown[];
  return isText(id) && (user === null || isText(user));
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.length <= MAX_PRESENCE_CHARS;
}
