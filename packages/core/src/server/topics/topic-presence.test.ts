import { encode } from "@msgpack/msgpack";
import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { TimerWheel } from "../../util/timer-wheel.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import type { ChannelHost, Member } from "./channel-host.ts";
import { PresenceFlusher } from "./presence-flusher.ts";
import { RoomWaits } from "./room-waits.ts";
import { TopicPresence } from "./topic-presence.ts";

type Part = {
  readonly reset: boolean;
  readonly joined: readonly [string, unknown][];
  readonly left: readonly string[];
};

/** A member and the frames sent to it. */
interface Watcher {
  readonly member: Member;
  frames: number;
  bytes: number;
  entries: number;
  /** Number of present members, according to the received frames. */
  size: number;
  /** The subscribers; null if it only counts. */
  readonly present: Set<string> | null;
}

/** Creates a topic's presence with members that only count frames sent to them. */
function scene() {
  const runtime = fakeRuntime();
  const wheel = new TimerWheel(runtime);
  const parts = new Map<Uint8Array, Part>();
  let encoded = 0;
  const turns = { count: 0, most: 0 };
  let sentInTurn = 0;
  let nowMs = 0;
  const waiting: (() => void)[] = [];
  const host = {
    wheel,
    flusher: new PresenceFlusher({
      wheel,
      now: () => nowMs,
      nextTurn: (task) => waiting.push(task),
      flushFailed: (_topic, error) => {
        throw error;
      },
    }),
    waits: new RoomWaits<Member>(),
    maxMessageBytes: 1024 * 1024,
    encode: (_type: number, _number: number, payload: Part): FrameBytes => {
      const bytes = encode(payload);
      encoded += 1;
      parts.set(bytes, payload);
      return { bytes, start: 0, end: bytes.length, large: null };
    },
  } as unknown as ChannelHost;
  const presence = new TopicPresence(host, "lobby", 1);
  const watcher = (n: number, knowsNames = false): Watcher => {
    const one: Watcher = {
      member: {
        peer: { id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` },
        maxPeerPayloadBytes: 1024 * 1024,
        sender: {
          sendShared: ({ bytes }: FrameBytes) => {
            const { reset, joined, left } = parts.get(bytes) as Part;
            if (reset) one.size = 0;
            one.size += joined.length - left.length;
            if (reset) one.present?.clear();
            if (one.present !== null) for (const [id] of joined) one.present.add(id);
            for (const id of left) one.present?.delete(id);
            one.frames += 1;
            one.bytes += bytes.length;
            one.entries += joined.length + left.length;
            sentInTurn += 1;
            // The duration of sending a frame.
            nowMs += 0.001;
            return true;
          },
        },
      } as unknown as Member,
      frames: 0,
      bytes: 0,
      entries: 0,
      size: 0,
      present: knowsNames ? new Set() : null,
    };
    return one;
  };
  /** Ends the window and runs turns until all members have been notified. */
  const settle = async (): Promise<void> => {
    sentInTurn = 0;
    await runtime.advance(120);
    for (;;) {
      turns.count += 1;
      turns.most = Math.max(turns.most, sentInTurn);
      sentInTurn = 0;
      const task = waiting.shift();
      if (task === undefined) return;
      task();
    }
  };
  return { presence, watcher, settle, turns, encodedFrames: () => encoded };
}

const sum = (watchers: readonly Watcher[], of: "frames" | "bytes" | "entries"): number =>
  watchers.reduce((total, one) => total + one[of], 0);

test("ten thousand members that come within a second are told of each other once, in few frames, encoded once", async () => {
  const { presence, watcher, settle, turns, encodedFrames } = scene();
  const watchers: Watcher[] = [];
  const members = 10_000;
  for (let window = 0; window < 10; window += 1) {
    for (let n = 0; n < members / 10; n += 1) {
      const one = watcher(watchers.length);
      watchers.push(one);
      presence.join(one.member, null, true);
    }
    await settle();
  }
  expect(new Set(watchers.map(({ size }) => size))).toEqual(new Set([members]));
  // No member is notified of another twice.
  expect(sum(watchers, "entries")).toBe(members * members);
  // One notice per pair would be fifty million frames. The first members get ten rounds, in parts of 32 KiB.
  expect(sum(watchers, "frames")).toBeLessThan(members * 40);
  expect(encodedFrames()).toBeLessThan(400);
  // 41 bytes per pair: the list consists of ids of 36 characters.
  expect(sum(watchers, "bytes") / (members * members)).toBeLessThan(43);
  // 0.25 ms of work per turn, at 1 us per frame.
  expect(turns.most).toBeLessThan(600);

  for (const one of watchers) Object.assign(one, { frames: 0, bytes: 0, entries: 0 });
  for (const { member } of watchers.slice(0, 100)) presence.leave(member);
  await settle();
  const staying = watchers.slice(100);
  expect(new Set(staying.map(({ size }) => size))).toEqual(new Set([members - 100]));
  expect([sum(watchers, "frames"), sum(watchers, "entries")]).toEqual([9900, 9900 * 100]);
});

test("members that come and go while others are being told are in the next round, and nobody is told wrongly", async () => {
  const { presence, watcher, settle } = scene();
  const watchers = Array.from({ length: 2000 }, (_, n) => watcher(n, n === 10 || n === 1999));
  for (const { member } of watchers.slice(0, 1000)) presence.join(member, null, true);
  let isFirst = true;
  const busy = watchers[500] as Watcher;
  const { sendShared } = busy.member.sender;
  Object.assign(busy.member.sender, {
    sendShared: (frame: FrameBytes, isForAll: boolean) => {
      if (isFirst) {
        isFirst = false;
        for (const { member } of watchers.slice(0, 10)) presence.leave(member);
        for (const { member } of watchers.slice(700, 710)) presence.leave(member);
        for (const { member } of watchers.slice(1000)) presence.join(member, null, true);
      }
      return sendShared(frame, isForAll);
    },
  });
  await settle();
  await settle();
  const there = watchers.filter((_, n) => n >= 10 && (n < 700 || n >= 710));
  expect(new Set(there.map(({ size }) => size))).toEqual(new Set([there.length]));
  for (const { present } of [there[0], there.at(-1)] as Watcher[]) {
    expect(present).toEqual(new Set(there.map(({ member }) => member.peer.id)));
  }
});
