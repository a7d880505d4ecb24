/**
 * Presence of topics across nodes.
 *
 * Theory of operation. Each node tells the others who has joined and left on it, gathered for a moment and numbered,
 * and sends the whole list when asked. It is asked by a node that begins to receive the topic, that has missed
 * something, or that meets it (again). A question to one node is repeated at its next heartbeats until it is answered.
 * One to all that receive a topic is repeated once, since the number of answers isn't known; those whose changes have
 * all arrived don't answer again. The changes that a node has told count while that run of it is alive, or until it
 * says that it has no subscribers of the topic.
 */

import { MAX_PRESENCE_CHARS } from "../extensions/topics/topic.ts";
import { PRESENCE_WINDOW_MS } from "../limits.ts";
import { isMap } from "../util/is-map.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { ClusterAddress, PublishResult } from "./driver.ts";
import { type EnvelopeHead, EnvelopeKind, malformed, type NodeIdentity } from "./envelope.ts";
import type { Node } from "./membership.ts";

/** Somebody in a topic: id of the connection, and the user. */
export type PresenceEntry = readonly [id: string, user: string | null];

/** A topic on this node. */
export interface PresenceTopic {
  readonly name: string;
  readonly hasPresence: boolean;
  /** Subscribers on this node. */
  ownPresence(): Iterable<PresenceEntry>;
  /** Others have joined and left on a run of a node. `isAll`: nobody else is there. */
  othersChanged(epoch: string, joined: readonly PresenceEntry[], left: readonly string[], isAll: boolean): void;
  /** A run of a node is gone, with its part of presence. */
  othersGone(epoch: string): void;
}

export interface ClusterPresenceHost {
  readonly wheel: TimerWheel;
  /** Time between two signs of life of a node. */
  readonly heartbeatMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  publish(address: ClusterAddress, kind: EnvelopeKind, head: Readonly<Record<string, unknown>>): PublishResult;
  /** The epoch of this run of this node. */
  epoch(): string;
  /** The run of this id that is alive. */
  node(id: string): Node | undefined;
}

/** Changes of presence on a run of a node. */
interface Told {
  /** Number of the last change. */
  readonly number: number;
  /** The part of it that comes next; null if it is complete. */
  readonly nextPart: number | null;
}

interface Entry {
  readonly topic: PresenceTopic;
  /** By epoch. */
  readonly changes: Map<string, Told>;
  /** Number of this node's last change. */
  ownChange: number;
  /** Connections that have joined (with the user) or left (null) since the last change was sent. */
  readonly untold: Map<string, PresenceEntry | null>;
  /** Whether a change couldn't be sent. */
  isBehind: boolean;
}

/** People in one message. */
const MAX_PART = 500;
/** Closed topics that others still have to hear of. */
const MAX_UNSAID = 10_000;

export class ClusterPresence {
  readonly #host: ClusterPresenceHost;
  readonly #entries = new Map<string, Entry>();
  /** Numbers of this node's last changes, of topics with changes since its last heartbeat. */
  readonly #told = new Map<string, number>();
  /** Topics about which a node was asked and hasn't answered, by epoch. */
  readonly #asked = new Map<string, Set<string>>();
  /** Topics about which all were asked since the last heartbeat of this node, and since the one before it. */
  #askedAll = new Set<string>();
  #askedAllBefore = new Set<string>();
  readonly #changed = new Set<Entry>();
  readonly #timer: CallbackTimer;
  /**
   * When nodes were last told who is in a topic, oldest first, and their questions since: they wait for the time of a
   * heartbeat. A node asks whenever its only client in a topic has left and come back, and the answer may be half a megabyte.
   */
  readonly #answers = new Map<string, { readonly atMs: number; again: { name: string; from: NodeIdentity } | null }>();
  readonly #answerTimer: CallbackTimer;
  /** Names of closed topics in which others may still see people of this node. */
  readonly #unsaid = new Set<string>();

  constructor(host: ClusterPresenceHost) {
    this.#host = host;
    this.#timer = new CallbackTimer(() => this.#tell());
    this.#answerTimer = new CallbackTimer(() => this.#answerAgain());
  }

  /** The link ends. */
  stop(): void {
    this.#host.wheel.cancel(this.#timer);
    this.#host.wheel.cancel(this.#answerTimer);
    this.#answers.clear();
    this.#unsaid.clear();
    this.#told.clear();
    this.#asked.clear();
    this.#askedAll.clear();
    this.#askedAllBefore.clear();
    for (const { topic, changes } of this.#entries.values()) {
      for (const epoch of changes.keys()) topic.othersGone(epoch);
      changes.clear();
    }
  }

  /** This node receives the topic from now on. */
  open(topic: PresenceTopic): void {
    const isBehind = this.#unsaid.delete(topic.name);
    this.#entries.set(topic.name, { topic, changes: new Map(), ownChange: 0, untold: new Map(), isBehind });
  }

  /** This node doesn't receive the topic any more. */
  close(topic: PresenceTopic): void {
    const entry = this.#entries.get(topic.name);
    if (entry === undefined) return;
    this.#tellOf(entry);
    this.#changed.delete(entry);
    this.#entries.delete(topic.name);
    if (entry.isBehind) this.#leaveUnsaid(topic.name);
    for (const epoch of entry.changes.keys()) topic.othersGone(epoch);
  }

  /** Somebody has joined the topic on this node, has another user, or has left. */
  changed(topic: PresenceTopic, id: string, entry: PresenceEntry | null): void {
    const known = this.#entries.get(topic.name);
    if (known === undefined) return;
    known.untold.set(id, entry);
    this.#changed.add(known);
    if (!this.#timer.isScheduled) this.#host.wheel.schedule(this.#timer, PRESENCE_WINDOW_MS);
  }

  /** Numbers of this node's last changes since this was last called, by topic. */
  takeTold(): ReadonlyMap<string, number> {
    const told = new Map(this.#told);
    this.#told.clear();
    return told;
  }

  /** Asks all nodes that receive the topic who is there. */
  ask({ name, hasPresence }: PresenceTopic): void {
    if (!hasPresence) return;
    this.#askedAll.add(name);
    this.#host.publish({ kind: "topic", name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [name] });
  }

  /** This node says that it is alive: questions to all that were asked a heartbeat ago or more are repeated. */
  askAgain(): void {
    for (const name of this.#askedAllBefore) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      const complete = [...entry.changes].filter(([, { nextPart }]) => nextPart === null);
      const known = Object.fromEntries(complete.map(([epoch, { number }]) => [epoch, number]));
      this.#host.publish({ kind: "topic", name }, EnvelopeKind.PRESENCE_QUESTION, { topics: [name], known });
    }
    this.#askedAllBefore = this.#askedAll;
    this.#askedAll = new Set();
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
      this.ask(entry.topic);
    }
  }

  // --- from other nodes ---------------------------------------------------------------------------------------------

  /** A node asks. @throws ConduitError MALFORMED_PAYLOAD */
  questionArrived(from: NodeIdentity, head: EnvelopeHead): void {
    const known = head.raw("known");
    const number = isMap(known) ? known[this.#host.epoch()] : undefined;
    const unknown = (head.texts("topics") ?? []).filter((name) => !this.#answer(name, from, number));
    if (unknown.length > 0) this.#sayNobody({ kind: "node", name: from.id }, unknown);
  }

  /** A node tells. @throws ConduitError MALFORMED_PAYLOAD */
  received(from: NodeIdentity, head: EnvelopeHead): void {
    if (head.raw("nobody") !== undefined) {
      for (const name of head.texts("nobody") ?? []) this.#nobodyAt(name, from);
      return;
    }
    const entry = this.#entries.get(head.text("topic"));
    if (entry !== undefined) this.#changesArrived(entry, from, presencePartIn(head));
  }

  /** A node says the number of its last change in a topic. */
  positionArrived(from: NodeIdentity, name: string, change: number): void {
    const entry = this.#entries.get(name);
    if (entry?.topic.hasPresence !== true) return;
    const told = entry.changes.get(from.epoch);
    if (told?.number !== change || told.nextPart !== null) this.#askOnce(name, from);
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

  /** A run of a node is gone. */
  gone({ epoch }: Pick<NodeIdentity, "epoch">): void {
    this.#asked.delete(epoch);
    for (const { topic, changes } of this.#entries.values()) if (changes.delete(epoch)) topic.othersGone(epoch);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

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

  #changesArrived({ topic, changes }: Entry, from: NodeIdentity, arrived: PresencePart): void {
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

  /**
   * Returns false if this node has nobody there.
   * @param known number of this node's last change that the other one has
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
    this.#tellOf(entry);
    this.#changed.delete(entry);
    this.#tellAll(entry, { kind: "node", name: from.id });
    return true;
  }

  /** Answers what was asked too soon after an answer. */
  #answerAgain(): void {
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
      if (!this.#answer(name, from, undefined)) this.#sayNobody({ kind: "node", name: from.id }, [name]);
    }
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
