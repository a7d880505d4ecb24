/**
 * Presence of topics across nodes.
 *
 * Theory of operation. Each node batches the joins and leaves of its own subscribers for a moment, numbers each batch
 * and sends it to the others. It sends a snapshot to a node that queries it: one that has just subscribed to the
 * topic, has missed a change, or has just joined the cluster. A query to one node is repeated at that node's next
 * heartbeats until it is answered. A query to all nodes is repeated once, because the number of answers is unknown;
 * nodes whose changes have all arrived don't answer again. A node's presence is kept while that run of it is alive,
 * or until it reports that it has no subscribers left.
 */

import { MAX_PRESENCE_CHARS } from "../extensions/topics/topic.ts";
import { PRESENCE_WINDOW_MS } from "../limits.ts";
import { isMap } from "../util/is-map.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { ClusterAddress, PublishResult } from "./driver.ts";
import { type EnvelopeHead, EnvelopeKind, malformed, type NodeIdentity } from "./envelope.ts";
import type { Node } from "./membership.ts";

/** A member of a topic: connection id and user. */
export type PresenceEntry = readonly [id: string, user: string | null];

/** A topic on this node. */
export interface PresenceTopic {
  readonly name: string;
  readonly hasPresence: boolean;
  /** Subscribers on this node. */
  ownPresence(): Iterable<PresenceEntry>;
  /** Members of another node have joined and left. `isAll`: `joined` is the node's whole list. */
  othersChanged(epoch: string, joined: readonly PresenceEntry[], left: readonly string[], isAll: boolean): void;
  /** A run of a node has ended: removes its members. */
  othersLeft(epoch: string): void;
}

export interface ClusterPresenceHost {
  readonly wheel: TimerWheel;
  /** Interval between a node's heartbeats. */
  readonly heartbeatMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  publish(address: ClusterAddress, kind: EnvelopeKind, head: Readonly<Record<string, unknown>>): PublishResult;
  /** This node's epoch. */
  epoch(): string;
  /** The live run with this node id. */
  node(id: string): Node | undefined;
}

/** How far a remote run's changes have arrived. */
interface RemotePresence {
  /** Number of the last change. */
  readonly number: number;
  /** The next expected part of it; null if it is complete. */
  readonly nextPart: number | null;
}

interface Entry {
  readonly topic: PresenceTopic;
  /** By epoch. */
  readonly changes: Map<string, RemotePresence>;
  /** Number of this node's last change. */
  ownChange: number;
  /** Connections that have joined (with the user) or left (null) since changes were last sent. */
  readonly pending: Map<string, PresenceEntry | null>;
  /** Whether a change couldn't be sent, so that the other nodes need a snapshot. */
  hasUnsent: boolean;
}

/** Members in one message. */
const MAX_PART = 500;
/** Closed topics to remember until the other nodes can be notified. */
const MAX_CLOSED_UNSENT = 10_000;

export class ClusterPresence {
  readonly #host: ClusterPresenceHost;
  readonly #entries = new Map<string, Entry>();
  /** Number of this node's last change by topic, for topics that changed since its last heartbeat. */
  readonly #changeNumbers = new Map<string, number>();
  /** Topics of unanswered queries, by the epoch of the queried node. */
  readonly #pendingQueries = new Map<string, Set<string>>();
  /** Topics of queries to all nodes since this node's last heartbeat, and between the last two. */
  #queriedAll = new Set<string>();
  #queriedAllBefore = new Set<string>();
  readonly #changed = new Set<Entry>();
  readonly #timer: CallbackTimer;
  /**
   * When a snapshot was last sent, by node and topic, oldest first, and a query that came since, which waits for one
   * heartbeat interval. A node queries each time that its only subscriber leaves and returns, and a snapshot can take
   * half a megabyte.
   */
  readonly #answers = new Map<string, { readonly atMs: number; again: { name: string; from: NodeIdentity } | null }>();
  readonly #answerTimer: CallbackTimer;
  /** Closed topics of which other nodes may still show members of this node. */
  readonly #closedUnsent = new Set<string>();

  constructor(host: ClusterPresenceHost) {
    this.#host = host;
    this.#timer = new CallbackTimer(() => this.#flush());
    this.#answerTimer = new CallbackTimer(() => this.#sendDelayedAnswers());
  }

  /** The link ends. */
  stop(): void {
    this.#host.wheel.cancel(this.#timer);
    this.#host.wheel.cancel(this.#answerTimer);
    this.#answers.clear();
    this.#closedUnsent.clear();
    this.#changeNumbers.clear();
    this.#pendingQueries.clear();
    this.#queriedAll.clear();
    this.#queriedAllBefore.clear();
    for (const { topic, changes } of this.#entries.values()) {
      for (const epoch of changes.keys()) topic.othersLeft(epoch);
      changes.clear();
    }
  }

  /** This node has subscribed to the topic. */
  open(topic: PresenceTopic): void {
    const isBehind = this.#closedUnsent.delete(topic.name);
    this.#entries.set(topic.name, { topic, changes: new Map(), ownChange: 0, pending: new Map(), hasUnsent: isBehind });
  }

  /** This node has unsubscribed from the topic. */
  close(topic: PresenceTopic): void {
    const entry = this.#entries.get(topic.name);
    if (entry === undefined) return;
    this.#sendChanges(entry);
    this.#changed.delete(entry);
    this.#entries.delete(topic.name);
    if (entry.hasUnsent) this.#keepClosedUnsent(topic.name);
    for (const epoch of entry.changes.keys()) topic.othersLeft(epoch);
  }

  /** A local member has joined, has changed its user, or has left (null). */
  changed(topic: PresenceTopic, id: string, entry: PresenceEntry | null): void {
    const known = this.#entries.get(topic.name);
    if (known === undefined) return;
    known.pending.set(id, entry);
    this.#changed.add(known);
    if (!this.#timer.isScheduled) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
  }

  /** Returns and clears the change numbers of topics that changed since the last call. */
  takeChangeNumbers(): ReadonlyMap<string, number> {
    const numbers = new Map(this.#changeNumbers);
    this.#changeNumbers.clear();
    return numbers;
  }

  /** Queries all nodes that are subscribed to the topic. */
  queryAll({ name, hasPresence }: PresenceTopic): void {
    if (!hasPresence) return;
    this.#queriedAll.add(name);
    this.#host.publish({ kind: "topic", name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [name] });
  }

  /** On this node's heartbeat, repeats the queries to all that are at least one interval old. */
  repeatQueries(): void {
    for (const name of this.#queriedAllBefore) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      const complete = [...entry.changes].filter(([, { nextPart }]) => nextPart === null);
      const known = Object.fromEntries(complete.map(([epoch, { number }]) => [epoch, number]));
      this.#host.publish({ kind: "topic", name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [name], known });
    }
    this.#queriedAllBefore = this.#queriedAll;
    this.#queriedAll = new Set();
  }

  /** Sends all snapshots again, because this node's messages may have been lost. */
  resendAll(): void {
    for (const entry of this.#entries.values()) {
      if (entry.topic.hasPresence) this.#sendSnapshot(entry, { kind: "topic", name: entry.topic.name });
    }
  }

  /** The link is connected again. */
  reconnected(): void {
    this.#sendClosedUnsent();
    for (const entry of this.#entries.values()) {
      if (!entry.topic.hasPresence) continue;
      // Changes made without a link haven't been sent.
      if (entry.hasUnsent) this.#sendSnapshot(entry, { kind: "topic", name: entry.topic.name });
      this.queryAll(entry.topic);
    }
  }

  // --- from other nodes ---------------------------------------------------------------------------------------------

  /** Answers a node's query. @throws ConduitError MALFORMED_PAYLOAD */
  queryReceived(from: NodeIdentity, head: EnvelopeHead): void {
    const known = head.raw("known");
    const number = isMap(known) ? known[this.#host.epoch()] : undefined;
    const unknown = (head.texts("topics") ?? []).filter((name) => !this.#answer(name, from, number));
    if (unknown.length > 0) this.#sendEmpty({ kind: "node", name: from.id }, unknown);
  }

  /** Handles a node's changes or snapshot. @throws ConduitError MALFORMED_PAYLOAD */
  received(from: NodeIdentity, head: EnvelopeHead): void {
    if (head.raw("nobody") !== undefined) {
      for (const name of head.texts("nobody") ?? []) this.#emptyReceived(name, from);
      return;
    }
    const entry = this.#entries.get(head.text("topic"));
    if (entry !== undefined) this.#changesReceived(entry, from, presencePartIn(head));
  }

  /** Queries a node if its last change number shows that changes are missing. */
  changeNumberReceived(from: NodeIdentity, name: string, change: number): void {
    const entry = this.#entries.get(name);
    if (entry?.topic.hasPresence !== true) return;
    const known = entry.changes.get(from.epoch);
    if (known?.number !== change || known.nextPart !== null) this.#queryOnce(name, from);
  }

  /** A node has joined or returned, or messages from it were missed: queries all its topics. */
  nodeJoined(node: Node): void {
    const topics = [...this.#entries.values()].filter(({ topic }) => topic.hasPresence).map(({ topic }) => topic.name);
    if (topics.length > 0) this.#pendingQueries.set(node.epoch, new Set(topics));
    this.#query(node, topics);
  }

  /** On a node's heartbeat, repeats the queries that it hasn't answered. */
  heartbeatReceived(node: NodeIdentity): void {
    const asked = this.#pendingQueries.get(node.epoch);
    if (asked === undefined) return;
    for (const name of asked) if (this.#entries.get(name)?.topic.hasPresence !== true) asked.delete(name);
    if (asked.size === 0) this.#pendingQueries.delete(node.epoch);
    this.#query(node, [...asked]);
  }

  /** A node has left. */
  nodeLeft({ epoch }: Pick<NodeIdentity, "epoch">): void {
    this.#pendingQueries.delete(epoch);
    for (const { topic, changes } of this.#entries.values()) if (changes.delete(epoch)) topic.othersLeft(epoch);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #query({ id }: Pick<NodeIdentity, "id">, topics: readonly string[]): void {
    for (let from = 0; from < topics.length; from += MAX_PART) {
      const head = { topics: topics.slice(from, from + MAX_PART) };
      this.#host.publish({ kind: "node", name: id }, EnvelopeKind.PRESENCE_QUESTION, head);
    }
  }

  /** Queries a node about a topic, unless a query is pending. */
  #queryOnce(name: string, node: NodeIdentity): void {
    const asked = this.#pendingQueries.get(node.epoch) ?? new Set();
    if (asked.has(name)) return;
    this.#pendingQueries.set(node.epoch, asked.add(name));
    this.#query(node, [name]);
  }

  #queryAnswered(name: string, epoch: string): void {
    const asked = this.#pendingQueries.get(epoch);
    asked?.delete(name);
    if (asked?.size === 0) this.#pendingQueries.delete(epoch);
  }

  #changesReceived({ topic, changes }: Entry, from: NodeIdentity, arrived: PresencePart): void {
    const { number, part, parts, joined, left, isAll } = arrived;
    const { id, epoch } = from;
    // Runs that aren't known to be alive are queried when they join.
    if (!topic.hasPresence || this.#host.node(id)?.epoch !== epoch) return;
    const { number: last, nextPart } = changes.get(epoch) ?? { number: 0, nextPart: null };
    const isNext = nextPart === null ? part === 0 && (number === last || number === last + 1) : false;
    const isRest = number === last && part === nextPart;
    if (!isNext && !isRest && !(isAll && part === 0)) {
      this.#queryOnce(topic.name, from);
      return;
    }
    const isComplete = part + 1 >= parts;
    changes.set(epoch, { number, nextPart: isComplete ? null : part + 1 });
    if (isComplete && isAll) this.#queryAnswered(topic.name, epoch);
    topic.othersChanged(epoch, joined, left, isAll && part === 0);
  }

  /**
   * Answers a query with a snapshot. Returns false if this node has no members in the topic.
   * @param known number of this node's last change that the other node has
   */
  #answer(name: string, from: NodeIdentity, known: unknown): boolean {
    const entry = this.#entries.get(name);
    if (entry === undefined || !entry.topic.hasPresence) return false;
    if (known === entry.ownChange) return true;
    const key = JSON.stringify([from.epoch, name]);
    const answered = this.#answers.get(key);
    if (answered !== undefined) {
      answered.again = { name, from };
      return true;
    }
    this.#answers.set(key, { atMs: this.#host.now(), again: null });
    const { heartbeatMs, wheel } = this.#host;
    if (!this.#answerTimer.isScheduled) wheel.schedule(this.#answerTimer, heartbeatMs);
    this.#sendChanges(entry);
    this.#changed.delete(entry);
    this.#sendSnapshot(entry, { kind: "node", name: from.id });
    return true;
  }

  /** Answers queries that came too soon after a snapshot. */
  #sendDelayedAnswers(): void {
    const { heartbeatMs, wheel } = this.#host;
    const now = this.#host.now();
    const asked: { readonly name: string; readonly from: NodeIdentity }[] = [];
    let nextMs: number | null = null;
    for (const [key, { atMs, again }] of this.#answers) {
      if (now - atMs < heartbeatMs) {
        nextMs = atMs + heartbeatMs - now;
        break;
      }
      this.#answers.delete(key);
      if (again !== null) asked.push(again);
    }
    if (nextMs !== null) wheel.schedule(this.#answerTimer, nextMs);
    for (const { name, from } of asked) {
      if (!this.#answer(name, from, undefined)) this.#sendEmpty({ kind: "node", name: from.id }, [name]);
    }
  }

  #sendEmpty(to: ClusterAddress, nobody: readonly string[]): boolean {
    return this.#host.publish(to, EnvelopeKind.PRESENCE, { nobody }) === "sent";
  }

  /** A node has no members in the topic, and will number its changes from the start. */
  #emptyReceived(name: string, { epoch }: NodeIdentity): void {
    this.#queryAnswered(name, epoch);
    const entry = this.#entries.get(name);
    if (entry?.changes.delete(epoch) === true) entry.topic.othersLeft(epoch);
  }

  #keepClosedUnsent(name: string): void {
    this.#closedUnsent.add(name);
    if (this.#closedUnsent.size > MAX_CLOSED_UNSENT)
      this.#closedUnsent.delete(this.#closedUnsent.keys().next().value as string);
  }

  #sendClosedUnsent(): void {
    const names = [...this.#closedUnsent];
    for (let from = 0; from < names.length; from += MAX_PART) {
      const part = names.slice(from, from + MAX_PART);
      if (!this.#sendEmpty({ kind: "all", name: "" }, part)) return;
      for (const name of part) this.#closedUnsent.delete(name);
    }
  }

  #flush(): void {
    this.#sendClosedUnsent();
    for (const entry of this.#changed) this.#sendChanges(entry);
    this.#changed.clear();
  }

  /** Sends the pending changes to the other nodes. */
  #sendChanges(entry: Entry): void {
    if (entry.pending.size === 0) return;
    const joined = [...entry.pending.values()].filter((one) => one !== null);
    const left = [...entry.pending].filter(([, one]) => one === null).map(([id]) => id);
    entry.pending.clear();
    entry.ownChange += 1;
    this.#changeNumbers.set(entry.topic.name, entry.ownChange);
    if (!this.#send(entry, { kind: "topic", name: entry.topic.name }, joined, left, false)) entry.hasUnsent = true;
  }

  /** Sends all local members to the other nodes, or to one. */
  #sendSnapshot(entry: Entry, to: ClusterAddress): void {
    const isTold = this.#send(entry, to, [...entry.topic.ownPresence()], [], true);
    if (to.kind === "topic") entry.hasUnsent = !isTold;
  }

  /** Sends a change in numbered parts. Returns whether all of them were sent. */
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

/** One part of a change. */
interface PresencePart {
  readonly number: number;
  readonly part: number;
  readonly parts: number;
  readonly joined: readonly PresenceEntry[];
  readonly left: readonly string[];
  /** Whether all parts together are a snapshot. */
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
