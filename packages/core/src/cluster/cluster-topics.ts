/**
 * Topics across nodes: which this node receives, what it publishes to the others, and who is there on which node.
 *
 * Theory of operation. A node receives a topic while it has subscribers of it, or keeps its history. What it publishes goes to
 * its own subscribers at once and to the other nodes that receive the topic. Each node numbers its messages of a topic, so
 * the others notice when some are missing: then they tell their subscribers that messages were missed. Before each heartbeat, a
 * node also says its number to those that receive a topic to which it has published since the last one: that shows a loss
 * of its first and last messages.
 *
 * Presence: each node tells the others who has joined and left on it, gathered for a moment and numbered, and sends everybody
 * who is there when asked. It is asked by a node that begins to receive the topic, that has missed something, or that meets
 * it (again). A question is repeated at the next heartbeats until it is answered. The changes that a node has told count
 * while that run of it is alive, or until it says that it has nobody in the topic.
 */

import type { ConduitError } from "../errors.ts";
import { MAX_PRESENCE_CHARS } from "../extensions/topics/topic.ts";
import { PRESENCE_WINDOW_MS } from "../limits.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import type { ClusterAddress, ClusterSubscription, PublishResult } from "./driver.ts";
import type { DurableTopics } from "./durable-topics.ts";
import { type Envelope, type EnvelopeHead, EnvelopeKind, malformed, type NodeIdentity } from "./envelope.ts";
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

/** Messages of a run of a node. */
interface Received {
  /** Number of the last one. */
  last: number;
  /** Number of the first one, as long as it isn't known whether there were others before it; else null. */
  readonly first: number | null;
}

/** Changes of presence on a run of a node. */
interface Told {
  /** Number of the last change. */
  readonly number: number;
  /** The part of it that comes next; null if it is complete. */
  readonly nextPart: number | null;
}

/** A topic that this node receives. */
interface Entry {
  readonly topic: ClusterTopic;
  subscription: ClusterSubscription | null;
  /** Messages that others publish after this time arrive, or count as lost; monotonic milliseconds. */
  receivesSinceMs: number;
  /** By epoch; also of runs that aren't heard any more: they may return. */
  readonly messages: Map<string, Received>;
  /** By epoch. */
  readonly changes: Map<string, Told>;
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
  /** Number of messages of this node since its last heartbeat, by topic. */
  readonly #published = new Map<string, number>();
  /** Numbers of this node's last changes of presence, of topics with changes since its last heartbeat. */
  readonly #told = new Map<string, number>();
  /** Topics about whose presence a node was asked and hasn't answered, by epoch. */
  readonly #asked = new Map<string, Set<string>>();
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
    this.#published.clear();
    this.#told.clear();
    this.#asked.clear();
    for (const entry of this.#entries.values()) {
      entry.subscription = null;
      entry.receivesSinceMs = Number.POSITIVE_INFINITY;
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
      receivesSinceMs: Number.POSITIVE_INFINITY,
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

  /** Somebody has joined the topic on this node, has another user, or has left. */
  presenceChanged(topic: ClusterTopic, id: string, entry: PresenceEntry | null): void {
    const known = this.#entries.get(topic.name);
    if (known === undefined) return;
    known.untold.set(id, entry);
    this.#changed.add(known);
    if (!this.#timer.isScheduled) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
  }

  /**
   * Says where this node is in the topics that it has published to, or whose presence has changed, since its last heartbeat.
   * Call it before the next one.
   * @param sequence number of the last heartbeat
   */
  sayPositions(sequence: number): void {
    for (const topic of new Set([...this.#published.keys(), ...this.#told.keys()])) {
      const change = this.#told.get(topic);
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
    this.#told.clear();
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
      this.#presenceArrived(entry, from, presencePartIn(head));
      return;
    }
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
    entry.topic.deliver(new EncodedValue(body), selection);
  }

  /** A run of a node was heard for the first time, or again, or messages of it are missing. */
  meet(node: Node): void {
    const topics = [...this.#entries.values()].filter(({ topic }) => topic.hasPresence).map(({ topic }) => topic.name);
    if (topics.length > 0) this.#asked.set(node.epoch, new Set(topics));
    this.#ask(node, topics);
  }

  /** A heartbeat of a node has arrived: it is asked again for what it hasn't answered. */
  heard(node: NodeIdentity): void {
    const asked = this.#asked.get(node.epoch);
    if (asked === undefined) return;
    for (const name of asked) if (this.#entries.get(name)?.topic.hasPresence !== true) asked.delete(name);
    if (asked.size === 0) this.#asked.delete(node.epoch);
    this.#ask(node, [...asked]);
  }

  #ask({ id }: Pick<NodeIdentity, "id">, topics: readonly string[]): void {
    for (let from = 0; from < topics.length; from += MAX_PART) {
      const head = { topics: topics.slice(from, from + MAX_PART) };
      this.#host.publish({ kind: "node", name: id }, EnvelopeKind.PRESENCE_QUESTION, head);
    }
  }

  /** Asks a node who is in a topic, unless it is being asked already. */
  #askOnce(name: string, node: NodeIdentity): void {
    const asked = this.#asked.get(node.epoch) ?? new Set();
    if (asked.has(name)) return;
    this.#asked.set(node.epoch, asked.add(name));
    this.#ask(node, [name]);
  }

  #answered(name: string, epoch: string): void {
    const asked = this.#asked.get(epoch);
    asked?.delete(name);
    if (asked?.size === 0) this.#asked.delete(epoch);
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
    this.#asked.delete(epoch);
    for (const { topic, changes, messages } of this.#entries.values()) {
      // A node that was only cut off goes on with its numbers, which show what is missing.
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
    if (entry.topic.hasPresence) this.#askAll(entry);
  }

  #askAll({ topic }: Entry): void {
    this.#host.publish({ kind: "topic", name: topic.name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [topic.name] });
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
    entry.interruptedAtMs = this.#host.now();
    entry.topic.interrupted();
  }

  /** A node says how many messages of a topic there were until now, and since its last heartbeat. */
  #positionArrived(entry: Entry, from: NodeIdentity, head: EnvelopeHead): void {
    const { topic, messages, changes, receivesSinceMs } = entry;
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
    if (!topic.hasPresence || head.raw("change") === undefined) return;
    const told = changes.get(epoch);
    if (told?.number !== head.count("change") || told.nextPart !== null) this.#askOnce(topic.name, from);
  }

  #presenceArrived({ topic, changes }: Entry, from: NodeIdentity, arrived: PresencePart): void {
    const { number, part, parts, joined, left, isAll } = arrived;
    const { id, epoch } = from;
    // A run that isn't known to be alive is asked when it is.
    if (!topic.hasPresence || this.#host.node(id)?.epoch !== epoch) return;
    const { number: last, nextPart } = changes.get(epoch) ?? { number: 0, nextPart: null };
    const isNext = nextPart === null ? part === 0 && (number === last || number === last + 1) : false;
    const isRest = number === last && part === nextPart;
    if (!isNext && !isRest && !(isAll && part === 0)) {
      this.#askOnce(topic.name, from);
      return;
    }
    const isComplete = part + 1 >= parts;
    changes.set(epoch, { number, nextPart: isComplete ? null : part + 1 });
    if (isComplete && isAll) this.#answered(topic.name, epoch);
    topic.othersChanged(epoch, joined, left, isAll && part === 0);
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
    this.#answered(name, epoch);
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
    this.#told.set(entry.topic.name, entry.ownChange);
    if (!this.#send(entry, { kind: "topic", name: entry.topic.name }, joined, left, false)) entry.isBehind = true;
  }

  /** Sends everybody who is here to the others or to one node. */
  #tellAll(entry: Entry, to: ClusterAddress): void {
    const isTold = this.#send(entry, to, [...entry.topic.ownPresence()], [], true);
    if (to.kind === "topic") entry.isBehind = !isTold;
  }

  /** In numbered parts, with the number of the change. Returns whether all were sent. */
  #send(
    { topic, ownChange }: Entry,
    to: ClusterAddress,
    joined: readonly PresenceEntry[],
    left: readonly string[],
    isAll: boolean,
  ): boolean {
    let isSent = true;
    const parts = Math.max(1, Math.ceil(Math.max(joined.length, left.length) / MAX_PART));
    for (let part = 0; part < parts; part += 1) {
      const [from, end] = [part * MAX_PART, (part + 1) * MAX_PART];
      const head = {
        topic: topic.name,
        i: ownChange,
        joined: joined.slice(from, end),
        left: left.slice(from, end),
        ...(parts === 1 ? {} : { part, parts }),
        ...(isAll ? { all: true } : {}),
      };
      if (this.#host.publish(to, EnvelopeKind.PRESENCE, head) !== "sent") isSent = false;
    }
    return isSent;
  }
}

/** A part of a change of presence. */
interface PresencePart {
  readonly number: number;
  readonly part: number;
  readonly parts: number;
  readonly joined: readonly PresenceEntry[];
  readonly left: readonly string[];
  /** Whether all parts together are everybody who is there. */
  readonly isAll: boolean;
}

/** @throws ConduitError MALFORMED_PAYLOAD */
function presencePartIn(head: EnvelopeHead): PresencePart {
  return {
    number: head.count("i"),
    part: head.raw("part") === undefined ? 0 : head.count("part"),
    parts: head.raw("parts") === undefined ? 1 : head.count("parts"),
    joined: entriesIn(head.raw("joined")),
    left: head.texts("left") ?? [],
    isAll: head.raw("all") === true,
  };
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
