/**
 * The subscribers of a topic. Changes are batched for 100 ms and sent as one frame to all members. All members that
 * joined within that time get the same list, encoded once, so that ten thousand clients joining within a second cost
 * ten lists, not ten thousand.
 */

import type { PresenceEntry as Entry } from "../../cluster/cluster-presence.ts";
import { MIN_MESSAGE_BYTES } from "../../extensions/limits.ts";
import { TOPIC_PRESENCE_FRAME } from "../../extensions/topics/topic.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { type ChannelHost, lasting, type Member } from "./channel-host.ts";

/** Maximum payload of one frame, so that other frames can be sent between the parts of a long list. */
const MAX_PART_BYTES: number = 32 * 1024;
/** A size that every peer accepts. One entry always fits. */
const MIN_PART_BYTES = MIN_MESSAGE_BYTES;
/** Bytes of the field names and value lengths. */
const PART_HEAD_BYTES = 48;

/** Number of members to notify between two clock reads. */
const MEMBERS_PER_LOOK = 8;

/** Returns the frames of a list, in parts that this member accepts. */
type FramesFor = (member: Member) => readonly FrameBytes[];

export class TopicPresence {
  readonly topic: string;
  readonly #host: ChannelHost;
  readonly #number: number;
  readonly #ownChanged: ((id: string, entry: Entry | null) => void) | null;
  readonly #entries = new Map<Member, Entry>();
  /** Subscribers on other nodes, by node epoch, then by id. Null if there are none. */
  #others: Map<string, Map<string, Entry>> | null = null;
  /** Members that get changes. */
  readonly #watchers = new Set<Member>();
  /** Members that need the full list first. */
  readonly #newcomers = new Set<Member>();
  readonly #joined = new Map<string, { readonly entry: Entry; readonly isNew: boolean }>();
  readonly #left = new Set<string>();
  /** Iterates over the members being notified. */
  #round: Iterator<void, void> | null = null;

  /** @param ownChanged called when a member on this node has joined, has changed its user, or has left (null) */
  constructor(
    host: ChannelHost,
    topic: string,
    number: number,
    ownChanged: ((id: string, entry: Entry | null) => void) | null = null,
  ) {
    this.#host = host;
    this.topic = topic;
    this.#number = number;
    this.#ownChanged = ownChanged;
  }

  /** All known subscribers, on this and other nodes. */
  get entries(): Entry[] {
    const others = this.#others === null ? [] : [...this.#others.values()].flatMap((ofNode) => [...ofNode.values()]);
    return [...this.#entries.values(), ...others];
  }

  /** Subscribers on this node. */
  get ownEntries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** @param watches whether the member wants the list of subscribers */
  join(member: Member, user: string | null, watches: boolean): void {
    const known = this.#entries.get(member);
    if (known?.[1] !== user) {
      const { id } = member.peer;
      const entry = [id, user] as const;
      this.#entries.set(member, entry);
      this.#addJoined(entry, known !== undefined);
      this.#ownChanged?.(id, entry);
    } else if (!watches) {
      return;
    }
    if (watches) {
      this.#watchers.delete(member);
      this.#newcomers.add(member);
    }
    this.#changed();
  }

  leave(member: Member): void {
    const entry = this.#entries.get(member);
    if (entry === undefined) return;
    this.#entries.delete(member);
    this.#watchers.delete(member);
    this.#newcomers.delete(member);
    this.#host.waits.delete(member, this);
    const [id] = entry;
    this.#addLeft(id);
    this.#ownChanged?.(id, null);
    this.#changed();
  }

  /** Subscribers have joined and left on another node. `isAll`: `joined` is the node's full list. */
  othersChanged(epoch: string, joined: readonly Entry[], left: readonly string[], isAll: boolean): void {
    const ofNode = this.#others?.get(epoch) ?? new Map<string, Entry>();
    const gone = isAll ? new Set(ofNode.keys()) : new Set(left);
    for (const entry of joined) {
      const [id, user] = entry;
      gone.delete(id);
      const known = ofNode.get(id);
      if (known !== undefined && known[1] === user) continue;
      ofNode.set(id, entry);
      this.#addJoined(entry, known !== undefined);
    }
    for (const id of gone) if (ofNode.delete(id)) this.#addLeft(id);
    if (ofNode.size > 0) {
      this.#others ??= new Map();
      this.#others.set(epoch, ofNode);
    } else {
      this.#others?.delete(epoch);
      if (this.#others?.size === 0) this.#others = null;
    }
    this.#changed();
  }

  #addJoined(entry: Entry, wasKnown: boolean): void {
    const [id] = entry;
    const hadLeft = this.#left.delete(id);
    const isNew = wasKnown ? this.#joined.get(id)?.isNew === true : !hadLeft;
    this.#joined.set(id, { entry, isNew });
  }

  #addLeft(id: string): void {
    // A client that joined and left within the window was never announced.
    if (this.#joined.get(id)?.isNew !== true) this.#left.add(id);
    this.#joined.delete(id);
  }

  end(): void {
    this.#round = null;
    this.#host.flusher.delete(this);
  }

  #changed(): void {
    if (this.#watchers.size + this.#newcomers.size === 0) {
      this.#joined.clear();
      this.#left.clear();
      this.end();
    } else {
      this.#host.flusher.add(this);
    }
  }

  /**
   * Sends changes to some members per turn, because sending a list of ten thousand to a thousand newcomers takes half
   * a gigabyte.
   * @param hasTime whether there is time left in this turn.
   * @returns whether all members were notified
   */
  flush(hasTime: () => boolean): boolean {
    this.#round ??= this.#notifyMembers();
    try {
      for (let count = 1; this.#round.next().done !== true; count += 1) {
        if (count % MEMBERS_PER_LOOK === 0 && !hasTime()) return false;
      }
    } catch (error) {
      this.#round = null;
      throw error;
    }
    this.#round = null;
    return true;
  }

  /** Yields after each member. Changes made in the meantime belong to the next round. */
  *#notifyMembers(): Generator<void, void> {
    const newcomers = [...this.#newcomers];
    const all = newcomers.length > 0 ? this.#framesFor(this.entries, [], true) : null;
    if (this.#joined.size + this.#left.size > 0) {
      const joined = Array.from(this.#joined.values(), ({ entry }) => entry);
      const changes = this.#framesFor(joined, [...this.#left], false);
      this.#joined.clear();
      this.#left.clear();
      for (const member of [...this.#watchers]) {
        if (!this.#watchers.has(member)) continue;
        if (!this.#send(member, changes)) this.#missed(member);
        yield;
      }
    }
    if (all === null) return;
    for (const member of newcomers) {
      if (!this.#newcomers.delete(member)) continue;
      if (this.#send(member, all)) this.#watchers.add(member);
      else this.#missed(member);
      yield;
    }
  }

  /** A member whose queue is full needs the full list once it reads again. */
  #missed(member: Member): void {
    this.#watchers.delete(member);
    this.#host.waits.add(member, this);
  }

  /** Sends the full list to a member whose queue was full. */
  memberTakes(member: Member): boolean {
    if (!this.#entries.has(member) || this.#watchers.has(member)) return true;
    this.#newcomers.add(member);
    this.#changed();
    return true;
  }

  #send(member: Member, framesFor: FramesFor): boolean {
    return framesFor(member).every((frame) => member.sender.sendShared(frame, false));
  }

  /** Encodes a list. Members with a small message limit share smaller frames. */
  #framesFor(joined: readonly Entry[], left: readonly string[], reset: boolean): FramesFor {
    const partBytes = Math.min(MAX_PART_BYTES, this.#host.maxMessageBytes);
    const usual = this.#framesOf(joined, left, reset, partBytes);
    let small: readonly FrameBytes[] | null = null;
    return ({ maxPeerPayloadBytes }) => {
      if (maxPeerPayloadBytes >= partBytes) return usual;
      small ??= this.#framesOf(joined, left, reset, MIN_PART_BYTES);
      return small;
    };
  }

  #framesOf(joined: readonly Entry[], left: readonly string[], reset: boolean, partBytes: number): FrameBytes[] {
    const frames: FrameBytes[] = [];
    let part: { joined: Entry[]; left: string[] } = { joined: [], left: [] };
    let bytes = PART_HEAD_BYTES;
    const endPart = (): void => {
      const payload = { reset: reset && frames.length === 0, ...part };
      frames.push(lasting(this.#host.encode(TOPIC_PRESENCE_FRAME, this.#number, payload)));
      part = { joined: [], left: [] };
      bytes = PART_HEAD_BYTES;
    };
    const makeRoom = (entryBytes: number): void => {
      if (bytes > PART_HEAD_BYTES && bytes + entryBytes > partBytes) endPart();
      bytes += entryBytes;
    };
    for (const entry of joined) {
      makeRoom(1 + mostBytesOf(entry[0]) + mostBytesOf(entry[1] ?? ""));
      part.joined.push(entry);
    }
    for (const id of left) {
      makeRoom(mostBytesOf(id));
      part.left.push(id);
    }
    endPart();
    return frames;
  }
}

/** Upper bound of the MessagePack size of a text of up to 64 KiB. */
function mostBytesOf(text: string): number {
  return 3 + 3 * text.length;
}
