/**
 * One topic on a server: its members and its last messages.
 *
 * A publish is encoded once, and the same bytes are sent to each member. A member that can't take a message becomes a
 * laggard, represented by its offset in the log, from which it continues when it reads again. So slow members share
 * the memory of the messages they wait for. The policy determines when a member counts as slow, and what it misses.
 */

import type { PresenceEntry } from "../../cluster/cluster-presence.ts";
import type { ClusterTopic } from "../../cluster/cluster-topics.ts";
import type { ClusterLogLimits, LogPlace } from "../../cluster/driver.ts";
import type { DurableTopic } from "../../cluster/durable-topics.ts";
import { type ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import { formatPosition, type Position } from "../../extensions/topics/position.ts";
import { TOPIC_END_FRAME, TOPIC_START_FRAME, topic } from "../../extensions/topics/topic.ts";
import type { EncodedValue } from "../../wire/encoded-value.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { type ChannelHost, lasting, type Member } from "./channel-host.ts";
import { MessageLog } from "./message-log.ts";
import type { KeptMessages } from "./topic-memory.ts";
import type { TopicRules } from "./topic-options.ts";
import { TopicPresence } from "./topic-presence.ts";

/** Recipients of a publish. */
export interface Selection {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
}

/** How a member joins. */
export interface Joining {
  /** The position where it left off; null if it is new. */
  readonly since: Position | null;
  readonly user: string | null;
  readonly watchesPresence: boolean;
  /** Id of the subscribing call; null if the server added the member. */
  readonly token: number | null;
}

/** Why a subscription ends, for its member. Not an Error, because creating one takes 10 µs for its stack. */
export interface EndReason {
  readonly code: number;
  readonly message: string;
}

/** Counters of a topic. */
export interface TopicStats {
  readonly subscribers: number;
  /** Messages published since the topic was created. */
  readonly published: number;
  /** Deliveries missed by slow subscribers. */
  readonly dropped: number;
  /** Subscribers with waiting messages, because they read too slowly. */
  readonly lagging: number;
  /** Number and bytes of the messages in memory. */
  readonly keptMessages: number;
  readonly keptBytes: number;
}

/** Token of a TOPIC_START that belongs to no call. Clients that have left the topic ignore it. */
const NO_CALL = 0;

/** Memory of a kept message in addition to its frame. */
const MESSAGE_BYTES = 256;

/** A member that reads messages from the log. */
interface Lag {
  /** Offset of its next message. */
  next: number;
}

export class TopicChannel implements ClusterTopic, DurableTopic, KeptMessages {
  readonly name: string;
  readonly number: number;
  readonly rules: TopicRules;
  readonly members: Set<Member> = new Set();
  /** The netconduit client that created the topic, until its connection ends. */
  owner: Member | null = null;
  readonly #host: ChannelHost;
  #offset = 0;
  /** Number of times that messages from other nodes may have been missed. */
  #interruptions = 0;
  /** Epoch of a durable topic's log; null before it is read. */
  #logEpoch: string | null = null;
  #published = 0;
  #dropped = 0;
  /** Number of netconduit members. */
  #plain = 0;
  #log: MessageLog | null = null;
  /** Memory of its messages as last counted, for a topic of a pattern. */
  countedBytes = 0;
  #lagging: Map<Member, Lag> | null = null;
  #presence: TopicPresence | null = null;

  constructor(host: ChannelHost, name: string, number: number, rules: TopicRules) {
    this.#host = host;
    this.name = name;
    this.number = number;
    this.rules = rules;
  }

  get epoch(): string {
    if (this.rules.isDurable) return this.#logEpoch ?? "";
    const first = `${this.#host.epoch}.${this.number}`;
    return this.#interruptions === 0 ? first : `${first}.${this.#interruptions}`;
  }

  /** The topic's current position. */
  get position(): string | null {
    if (this.rules.isDurable && this.#logEpoch === null) return null;
    return formatPosition({ epoch: this.epoch, offset: this.#offset });
  }

  get presence(): TopicPresence | null {
    return this.#presence;
  }

  /** Whether messages are kept. */
  get isKept(): boolean {
    return this.#log !== null && this.#log.length > 0;
  }

  get keptBytes(): number {
    return this.#log?.bytes ?? 0;
  }

  get stats(): TopicStats {
    return {
      subscribers: this.members.size,
      published: this.#published,
      dropped: this.#dropped,
      lagging: this.#lagging?.size ?? 0,
      keptMessages: this.#log?.length ?? 0,
      keptBytes: this.keptBytes,
    };
  }

  /**
   * Adds a member, or restarts its subscription without skipping messages that are still waiting for it. TOPIC_START
   * and missed messages are sent now, or as the member reads.
   * @throws RpcError SEND_QUEUE_FULL
   */
  join(member: Member, { since, user, watchesPresence, token }: Joining): void {
    const isNew = !this.members.has(member);
    if (!member.hasNetconduitPeer) {
      const next = Math.min(this.#nextFor(since), this.#lagging?.get(member)?.next ?? Number.POSITIVE_INFINITY);
      const start = {
        topic: this.name,
        epoch: this.epoch,
        offset: next - 1,
        presence: this.rules.presence && watchesPresence,
        ...(this.#hasLost(since) ? { lost: true } : {}),
        ...(token === null ? {} : { token }),
      };
      if (!member.sender.sendShared(this.#host.encode(TOPIC_START_FRAME, this.number, start), false)) {
        throw new RpcError(ErrorCode.SEND_QUEUE_FULL, `Cannot subscribe to '${this.name}': the client doesn't read`);
      }
      this.#lagging?.delete(member);
      this.members.add(member);
      if (next <= this.#offset) this.#replay(member, next);
    } else {
      this.members.add(member);
      if (isNew) this.#plain += 1;
    }
    // A hook for a message that exceeded the member's limit may have removed it.
    if (!this.rules.presence || !this.members.has(member)) return;
    this.#openPresence().join(member, user, watchesPresence && !member.hasNetconduitPeer);
  }

  /** @param reason sent to the member; null if it left on its own or has disconnected. Returns whether it was a member. */
  leave(member: Member, reason: EndReason | null): boolean {
    if (!this.members.delete(member)) return false;
    if (member.hasNetconduitPeer) this.#plain -= 1;
    if (this.#lagging?.delete(member) === true) this.#trim();
    this.#host.waits.delete(member, this);
    this.#presence?.leave(member);
    if (reason === null || !member.isOpen) return true;
    if (member.hasNetconduitPeer) {
      this.#host.sendStreamClosed(member, this.name);
      return true;
    }
    const end = { code: reason.code, reason: reason.message };
    // Queued even if the queue is full. There is at most one for each TOPIC_START, which needed room.
    member.sendQueue.push(this.#host.encode(TOPIC_END_FRAME, this.number, end), "message");
    return true;
  }

  /** Validates published data and returns the schema's output. @throws RpcError VALIDATION; ConduitError INVALID_CONFIG */
  check(data: unknown): unknown {
    const { validator } = this.rules;
    return validator === null ? data : validator.runNow(data, this.name);
  }

  /**
   * @param data the value, or an `EncodedValue`
   * @param selection null for all. A message for some members isn't part of the history
   * @returns the number of members that it was sent to, or for which it waits in the log
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; nothing was sent
   */
  publish(data: unknown, selection: Selection | null): number {
    const host = this.#host;
    const isForAll = selection === null;
    const offset = isForAll ? this.#offset + 1 : 0;
    const { frame: plain, payloadBytes } = host.encodePublish(this, offset, data, false);
    const compressed = host.compresses ? host.encodePublish(this, offset, data, true).frame : plain;
    const streamData = this.#plain > 0 ? host.encodeStreamData(this.name, data) : null;
    this.#published += 1;
    if (isForAll) {
      this.#offset += 1;
      if (this.rules.keep > 0 || this.#hasLaggards) this.#keep(plain, payloadBytes);
    }
    const slow: Member[] = [];
    const refusing: Member[] = [];
    let reached = 0;
    for (const member of this.members) {
      if (selection !== null && !isSelected(member, selection)) continue;
      if (isForAll && this.#lagging?.has(member) === true) {
        reached += 1;
        continue;
      }
      if (payloadBytes > member.maxPeerPayloadBytes) {
        refusing.push(member);
        continue;
      }
      if (member.hasNetconduitPeer) {
        if (member.sender.sendShared(streamData as FrameBytes, false)) reached += 1;
        else slow.push(member);
        continue;
      }
      if (isForAll && this.#holdsBack(member)) {
        this.#addLag(member, this.#offset);
        if (this.#log?.at(this.#offset) === undefined) this.#keep(plain, payloadBytes);
        this.#host.waits.add(member, this);
        reached += 1;
        continue;
      }
      if (member.sender.sendShared(member.writer.compresses ? compressed : plain, false)) reached += 1;
      else slow.push(member);
    }
    this.#dropped += refusing.length;
    // Last, because hooks may change the members, or publish as well.
    for (const member of refusing) member.sender.dropOversized(this.name, payloadBytes);
    for (const member of slow) this.#tooSlow(member, 1);
    return reached;
  }

  // --- ClusterTopic -------------------------------------------------------------------------------------------------

  get hasPresence(): boolean {
    return this.rules.presence;
  }

  ownPresence(): Iterable<PresenceEntry> {
    return this.#presence?.ownEntries ?? [];
  }

  deliver(data: EncodedValue, selection: Selection | null): void {
    this.publish(data, selection);
  }

  /** Invalidates earlier positions, and notifies the members that they may have missed messages. */
  interrupted(): void {
    // A log has no gaps.
    if (this.rules.isDurable) return;
    this.#interruptions += 1;
    this.#sendStarts();
  }

  /** Sends the members their new positions. */
  #sendStarts(): void {
    const start = { topic: this.name, epoch: this.epoch, presence: false, token: NO_CALL };
    let current: FrameBytes | null = null;
    for (const member of [...this.members]) {
      if (member.hasNetconduitPeer) continue;
      const lag = this.#lagging?.get(member);
      const encode = (offset: number): FrameBytes =>
        lasting(this.#host.encode(TOPIC_START_FRAME, this.number, { ...start, offset }));
      if (lag === undefined) current ??= encode(this.#offset);
      const frame = lag === undefined ? (current as FrameBytes) : encode(lag.next - 1);
      if (!member.sender.sendShared(frame, false)) this.#tooSlow(member, 1);
    }
  }

  get limits(): ClusterLogLimits {
    const { keep, bytes, ageMs } = this.rules;
    return { messages: Math.max(1, keep), bytes, ageMs };
  }

  logStarts({ epoch, offset }: LogPlace): void {
    const isSame = epoch === this.#logEpoch;
    this.#logEpoch = epoch;
    this.#offset = offset;
    this.forgetMessages();
    this.#lagging?.clear();
    // Within an epoch, the next offset reveals the gap.
    if (!isSame) this.#sendStarts();
  }

  /** The log is no longer being read. */
  logClosed(): void {
    this.#logEpoch = null;
    this.forgetMessages();
  }

  forgetMessages(): void {
    this.#log = null;
    this.#countKept();
  }

  /** Drops the oldest message, because the topics of patterns use too much memory. */
  dropOldest(): void {
    this.#log?.dropOldest();
    if (this.#log?.length === 0) this.#log = null;
    this.#countKept();
  }

  #countKept(): void {
    if (!this.rules.isPattern) return;
    const bytes = this.#log === null ? 0 : this.#log.bytes + this.#log.length * MESSAGE_BYTES;
    if (bytes !== this.countedBytes) this.#host.memory.count(this, bytes);
  }

  logEntry(offset: number, data: EncodedValue | null): void {
    this.#offset = offset - 1;
    if (data === null) this.#offset = offset;
    else this.publish(data, null);
  }

  logLost(reason: ConduitError): void {
    this.#host.logLost(this.name, reason);
  }

  othersChanged(epoch: string, joined: readonly PresenceEntry[], left: readonly string[], isAll: boolean): void {
    if (!this.rules.presence) return;
    this.#openPresence().othersChanged(epoch, joined, left, isAll);
  }

  othersLeft(epoch: string): void {
    this.#presence?.othersChanged(epoch, [], [], true);
  }

  /** Ends the topic and notifies the members. */
  end(reason: EndReason): Member[] {
    const members = [...this.members];
    for (const member of members) this.leave(member, reason);
    this.stopTimers();
    this.forgetMessages();
    return members;
  }

  /** Cancels all timers. */
  stopTimers(): void {
    this.#presence?.end();
  }

  #openPresence(): TopicPresence {
    const { cluster } = this.#host;
    const ownChanged =
      cluster && ((id: string, entry: PresenceEntry | null) => cluster.presence.changed(this, id, entry));
    this.#presence ??= new TopicPresence(this.#host, this.name, this.number, ownChanged);
    return this.#presence;
  }

  get #neededByLaggards(): number {
    const { slow, slowBuffer } = this.rules;
    return slow === "latest" ? 1 : slowBuffer;
  }

  get #hasLaggards(): boolean {
    return this.#lagging !== null && this.#lagging.size > 0;
  }

  /** Whether the policy currently keeps messages for this member in the log instead of its send queue. */
  #holdsBack(member: Member): boolean {
    const { slow } = this.rules;
    return (slow === "latest" || slow === "drop-oldest") && member.sendQueue.delaysRequests;
  }

  /** Offset of the first message for a subscriber that continues from `since`. */
  #nextFor(since: Position | null): number {
    this.#trim();
    const first = this.#log?.firstOffset ?? this.#offset + 1;
    const newest = this.#offset + 1;
    if (since !== null && since.epoch === this.epoch && since.offset < newest && since.offset + 1 >= first) {
      // With `latest`, a subscriber gets at most one message.
      return this.rules.slow === "latest" ? Math.max(since.offset + 1, newest - 1) : since.offset + 1;
    }
    // More would be skipped, and the new subscriber would count as slow.
    const retain = this.rules.slow === "latest" ? Math.min(1, this.rules.retain) : this.rules.retain;
    return Math.max(first, newest - retain);
  }

  /** Whether a subscriber has received messages that the topic no longer has, because its log was restored with older data. */
  #hasLost(since: Position | null): boolean {
    return since !== null && since.epoch === this.epoch && since.offset > this.#offset;
  }

  /** Adds the message just published to the log. */
  #keep(frame: FrameBytes, payloadBytes: number): void {
    this.#log ??= new MessageLog();
    this.#log.append(this.#offset, { frame: lasting(frame), payloadBytes, atMs: this.#host.now() });
    this.#trim();
  }

  #trim(): void {
    if (this.#log === null) return;
    const { keep, retain, bytes, ageMs } = this.rules;
    const needed = this.#hasLaggards ? this.#neededByLaggards : 0;
    this.#log.trim({
      messages: Math.max(keep, needed),
      bytes,
      sinceMs: this.#host.now() - ageMs,
      least: Math.max(retain, needed),
    });
    if (this.#log.length === 0) this.#log = null;
    this.#countKept();
  }

  #addLag(member: Member, next: number): Lag {
    const lag = { next };
    this.#lagging ??= new Map();
    this.#lagging.set(member, lag);
    return lag;
  }

  /** Sends a member the messages from this offset, now or as it reads. */
  #replay(member: Member, next: number): void {
    const lag = this.#addLag(member, next);
    const isDone = this.#continue(member, lag);
    this.#host.chargeDeliveries(lag.next - next);
    if (isDone) this.#caughtUp(member, lag);
    else this.#host.waits.add(member, this);
  }

  /** The member has room. Returns whether it is up to date, or has left. */
  memberTakes(member: Member): boolean {
    const lag = this.#lagging?.get(member);
    if (lag === undefined) return true;
    if (!this.#continue(member, lag)) return false;
    this.#caughtUp(member, lag);
    return true;
  }

  #caughtUp(member: Member, lag: Lag): void {
    if (this.#lagging?.get(member) === lag) this.#lagging.delete(member);
    if (!this.#hasLaggards) this.#trim();
  }

  /** Sends as much as the member can take. Returns whether it is up to date, or has left. */
  #continue(member: Member, lag: Lag): boolean {
    // Hooks for missed messages may remove the member or restart its subscription.
    while (lag.next <= this.#offset && this.#lagging?.get(member) === lag) {
      const log = this.#log;
      const first = this.rules.slow === "latest" ? this.#offset : (log?.firstOffset ?? this.#offset + 1);
      if (lag.next < first) {
        const missed = first - lag.next;
        lag.next = first;
        this.#tooSlow(member, missed);
        continue;
      }
      const message = log?.at(lag.next);
      if (message === undefined) return true;
      if (member.sender.dropOversized(this.name, message.payloadBytes)) this.#dropped += 1;
      else if (member.sendQueue.delaysRequests || !member.sender.sendShared(message.frame, false)) return false;
      lag.next += 1;
    }
    return true;
  }

  #tooSlow(member: Member, missed: number): void {
    this.#dropped += missed;
    this.#host.slowMember(member, this.name, missed, this.rules.slow === "disconnect");
  }
}

function isSelected({ peer }: Member, { exclude, include }: Selection): boolean {
  return exclude?.has(peer.id) !== true && (include === null || include.has(peer.id));
}

/** Whether a connection supports topics. */
export function takesTopics(member: Member): boolean {
  return member.hasNetconduitPeer || member.extension(topic) !== undefined;
}
