/**
 * Who is subscribed to a topic. Changes are gathered for 100 ms and sent as one frame to everybody, and everybody who
 * came in that time gets one list, encoded once: ten thousand clients that join in a second cost ten lists and not ten
 * thousand.
 */

import { TOPIC_PRESENCE_FRAME } from "../../extensions/topics/topic.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import type { ChannelHost, Member } from "./channel-host.ts";

/** Members in one frame, so that a long list leaves room for other frames. */
const MEMBERS_PER_FRAME = 500;

type Entry = readonly [id: string, user: string | null];

export class TopicPresence {
  readonly #host: ChannelHost;
  readonly #number: number;
  readonly #entries = new Map<Member, Entry>();
  /** Members that get changes. */
  readonly #watchers = new Set<Member>();
  /** Members that need the whole list first. */
  readonly #newcomers = new Set<Member>();
  readonly #joined = new Map<string, Entry>();
  readonly #left = new Set<string>();

  constructor(host: ChannelHost, number: number) {
    this.#host = host;
    this.#number = number;
  }

  /** Everybody who is here. */
  get entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** @param watches whether it wants to know who is here */
  join(member: Member, user: string | null, watches: boolean): void {
    const entry = [member.peer.id, user] as const;
    this.#entries.set(member, entry);
    this.#left.delete(entry[0]);
    this.#joined.set(entry[0], entry);
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
    // Nobody has heard of somebody who came and went within the window.
    if (!this.#joined.delete(entry[0])) this.#left.add(entry[0]);
    this.#changed();
  }

  end(): void {
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

  /** Tells the members of what has changed. */
  flush(): void {
    if (this.#joined.size + this.#left.size > 0) {
      const changes = this.#framesOf([...this.#joined.values()], [...this.#left], false);
      this.#joined.clear();
      this.#left.clear();
      for (const member of this.#watchers) if (!this.#send(member, changes)) this.#missed(member);
    }
    if (this.#newcomers.size === 0) return;
    const all = this.#framesOf([...this.#entries.values()], [], true);
    for (const member of this.#newcomers) {
      this.#newcomers.delete(member);
      if (this.#send(member, all)) this.#watchers.add(member);
      else this.#missed(member);
    }
  }

  /** A member whose queue is full needs the whole list once it reads again. */
  #missed(member: Member): void {
    this.#watchers.delete(member);
    this.#host.waits.add(member, this);
  }

  /** Tells a member whose queue was full everything. */
  memberTakes(member: Member): boolean {
    if (!this.#entries.has(member) || this.#watchers.has(member)) return true;
    this.#newcomers.add(member);
    this.#changed();
    return true;
  }

  #send(member: Member, frames: readonly FrameBytes[]): boolean {
    return frames.every((frame) => member.sendShared(frame, false));
  }

  #framesOf(joined: readonly Entry[], left: readonly string[], reset: boolean): FrameBytes[] {
    const frames: FrameBytes[] = [];
    const count = Math.max(1, Math.ceil(Math.max(joined.length, left.length) / MEMBERS_PER_FRAME));
    for (let index = 0; index < count; index += 1) {
      const from = index * MEMBERS_PER_FRAME;
      const to = from + MEMBERS_PER_FRAME;
      const part = { reset: reset && index === 0, joined: joined.slice(from, to), left: left.slice(from, to) };
      frames.push(this.#host.encode(TOPIC_PRESENCE_FRAME, this.#number, part));
    }
    return frames;
  }
}
