/**
 * Finds resources that servers and clients leak when they have closed: timers, listeners, requests, queued frames,
 * lent memory. All counts must be back at zero then.
 *
 * Watches the owning classes through their prototypes, so that the library needs no code for it. Also overwrites
 * returned memory, which reveals a second owner, such as a stream in which it is still queued.
 */

import { DialController } from "../client/dial-controller.ts";
import { OfflineQueue } from "../client/offline-queue.ts";
import { NodeRequests } from "../cluster/node-requests.ts";
import { NodeStreams } from "../cluster/node-streams.ts";
import { ProtocolConnection } from "../connection/protocol-connection.ts";
import { FrameReceiver } from "../connection/receive/frame-receiver.ts";
import { RequestIds } from "../connection/receive/request-ids.ts";
import { ConnectionStreams } from "../extensions/streams/connection-streams.ts";
import { StreamReceiver } from "../extensions/streams/stream-receiver.ts";
import { BufferBudget } from "../server/buffer-budget.ts";
import { TopicChannel } from "../server/topics/topic-channel.ts";
import { PendingByAddress } from "../util/pending-by-address.ts";
import { type TimerEntry, TimerWheel } from "../util/timer-wheel.ts";
import { BufferPool } from "../wire/buffer-pool.ts";
import { Slab } from "../wire/slab.ts";

/** Fired and cancelled timers are dropped when this many are watched. */
const MIN_TIMERS = 100;
/** Value written to memory without an owner. */
const POISON = 0xdd;

/** Seen since the last {@link watchFromNow}. */
const timers = new Set<TimerEntry>();
let maxTimers = MIN_TIMERS;
const connections = new Set<ProtocolConnection<unknown>>();
const ids = new Set<RequestIds<never>>();
const pending = new Set<PendingByAddress<unknown>>();
const offline = new Set<OfflineQueue<unknown>>();
const receivers = new Set<FrameReceiver>();
const budgets = new Set<BufferBudget>();
const channels = new Set<TopicChannel>();
const streams = new Set<ConnectionStreams>();
/** Streams objects whose connection ended before their streams. */
const cutStreams = new WeakSet<ConnectionStreams>();
const streamReceivers = new Set<StreamReceiver>();
/** Requests and streams between nodes. */
const between = new Set<NodeRequests | NodeStreams>();
const listeners = new Map<{ readonly aborted: boolean }, Set<unknown>>();
const wrongs: string[] = [];
/** Buffers of memory lent by pools. */
const lent = new WeakSet<ArrayBufferLike>();
/** The range of each slab in use in the current turn. */
const turns = new WeakMap<Slab, { bytes: Uint8Array; start: number; end: number; isKept: boolean }>();

/** Clears everything recorded so far, so that {@link leftovers} only reports on what starts from here. */
export function watchFromNow(): void {
  for (const seen of [timers, connections, ids, pending, offline, receivers, budgets, channels, listeners])
    seen.clear();
  for (const seen of [streams, streamReceivers, between]) seen.clear();
  wrongs.length = 0;
}

/** Returns what servers and clients have leaked since {@link watchFromNow}; empty if nothing. */
export function leftovers(): string[] {
  const found = [...wrongs];
  const count = (number: number, what: string): void => {
    if (number > 0) found.push(`${number} ${what}`);
  };
  for (const timer of timers) {
    // A pool's timer, which frees spare memory, isn't owned by a connection.
    if (timer.isScheduled && !(timer instanceof BufferPool)) found.push(`timer of ${timer.constructor.name}`);
  }
  let runningHandlers = 0;
  for (const connection of connections) {
    const { sendQueue, scheduler } = connection;
    if (!connection.isOver) found.push(`connection that is ${connection.state}`);
    count(connection.pendingCalls, "pending calls");
    count(sendQueue.queuedFrames, "frames in a send queue");
    count(sendQueue.bufferedBytes, "bytes in a send queue");
    count(sendQueue.replyBytes, "bytes of replies");
    count(sendQueue.lentBuffers, "lent buffers");
    count(scheduler.queuedHandlers, "queued requests");
    count(scheduler.queuedBytes, "bytes of queued requests");
    // Handlers that never settle belong to the test.
    if (scheduler.runningHandlers === 0) count(scheduler.runningBytes, "bytes of running requests");
    runningHandlers += scheduler.runningHandlers;
  }
  for (const receiver of receivers) count(receiver.heldBytes, "bytes of incomplete frames");
  for (const { members, stats } of channels) count(members.size + stats.lagging, "members of a topic");
  let streamBytes = 0;
  for (const all of streams) {
    count(all.counts.own + all.counts.peer, "open streams");
    // An ended stream only reserves space for its unread items.
    if (!cutStreams.has(all)) count(all.grantedBytes - all.heldBytes, "bytes of windows of streams");
    streamBytes += all.heldBytes;
  }
  // Items that a test doesn't read belong to the test.
  for (const receiver of streamReceivers) streamBytes -= receiver.heldBytes;
  count(Math.abs(streamBytes), "bytes of items that no stream holds");
  for (const budget of budgets) count(budget.bytes, "bytes in a server's budget");
  let requests = 0;
  for (const set of ids) requests += set.size;
  count(requests - runningHandlers, "ids of requests that aren't running");
  for (const set of pending) count(set.size + set.addresses, "pending logins or handshakes, and their addresses");
  for (const calls of between) count(calls.size, "calls between nodes");
  for (const queue of offline) count(queue.size, "messages queued offline");
  for (const [signal, set] of listeners) {
    // A fired timer's signal keeps no listeners.
    if (!signal.aborted) count(set.size, `abort listeners on a ${signal.constructor.name}`);
  }
  return found;
}

/** Wraps a method to call `seen` with the arguments, and with the result if `when` is "after". */
function watch<T extends object, K extends keyof T>(
  type: { readonly prototype: T },
  name: K,
  when: "before" | "after",
  seen: (self: T, args: readonly unknown[], result: unknown) => void,
): void {
  const original = type.prototype[name] as (...args: unknown[]) => unknown;
  const watched = function (this: T, ...args: unknown[]): unknown {
    if (when === "before") seen(this, args, undefined);
    const result = original.apply(this, args);
    if (when === "after") seen(this, args, result);
    return result;
  };
  Object.defineProperty(type.prototype, name, { value: watched, configurable: true, writable: true });
}

watch(TimerWheel, "schedule", "before", (_wheel, [entry]) => {
  timers.add(entry as TimerEntry);
  if (timers.size < maxTimers) return;
  for (const timer of timers) if (!timer.isScheduled) timers.delete(timer);
  maxTimers = Math.max(MIN_TIMERS, 2 * timers.size);
});
watch(ProtocolConnection, "start", "before", (connection) => connections.add(connection));
watch(RequestIds, "add", "before", (set) => ids.add(set as RequestIds<never>));
watch(PendingByAddress, "add", "before", (set) => pending.add(set));
watch(OfflineQueue, "add", "before", (queue) => offline.add(queue));
for (const name of ["ask", "call"] as const) watch(NodeRequests, name, "before", (calls) => between.add(calls));
for (const name of ["call", "open", "run"] as const) watch(NodeStreams, name, "before", (calls) => between.add(calls));

watch(FrameReceiver, "data", "before", (receiver) => receivers.add(receiver));
watch(TopicChannel, "join", "before", (channel) => channels.add(channel));
watch(ConnectionStreams, "firstWindow", "before", (all) => streams.add(all));
watch(ConnectionStreams, "addCall", "before", (all) => streams.add(all));
watch(ConnectionStreams, "addPeerCall", "before", (all) => streams.add(all));
watch(ConnectionStreams, "closed", "before", (all) => {
  if (all.counts.own + all.counts.peer > 0) cutStreams.add(all);
});
watch(StreamReceiver, "receive", "before", (receiver) => streamReceivers.add(receiver));
watch(BufferBudget, "count", "before", (budget) => budgets.add(budget));

watch(BufferPool, "take", "after", (_pool, _args, result) => {
  const { buffer } = result as Uint8Array;
  if (lent.has(buffer)) wrongs.push("a pool lent a buffer twice");
  lent.add(buffer);
});
watch(BufferPool, "give", "before", (_pool, [bytes]) => {
  const { buffer } = bytes as Uint8Array;
  if (!lent.delete(buffer)) wrongs.push("a pool was given a buffer twice");
  new Uint8Array(buffer).fill(POISON);
});

watch(Slab, "reserve", "after", (slab, [length], result) => {
  const start = result as number;
  const turn = turns.get(slab);
  if (turn?.bytes === slab.bytes) turn.end = start + (length as number);
  else turns.set(slab, { bytes: slab.bytes, start, end: start + (length as number), isKept: turn?.isKept ?? false });
});
watch(Slab, "keep", "before", (slab) => {
  const turn = turns.get(slab);
  if (turn !== undefined) turn.isKept = true;
});
watch(Slab, "endTurn", "after", (slab, [isPending]) => {
  const turn = turns.get(slab);
  turns.delete(slab);
  // The next turn's frames reuse this range.
  if (turn !== undefined && !turn.isKept && isPending !== true) turn.bytes.fill(POISON, turn.start, turn.end);
});

for (const type of [AbortSignal, DialController]) {
  watch(type as { prototype: AbortSignal }, "addEventListener", "before", (signal, [, listener]) => {
    // Handlers and tests also add listeners, and don't have to remove them.
    if (!isLibrary(new Error().stack)) return;
    const set = listeners.get(signal) ?? new Set();
    listeners.set(signal, set.add(listener));
  });
  watch(type as { prototype: AbortSignal }, "removeEventListener", "before", (signal, [, listener]) => {
    const set = listeners.get(signal);
    set?.delete(listener);
    if (set?.size === 0) listeners.delete(signal);
  });
}

/** Whether a watched method was called by a source file of this library: the third stack frame, after this file's two. */
function isLibrary(stack: string | undefined): boolean {
  const frames = (stack ?? "")
    .split("\n")
    .filter((line) => line.includes("/") && !line.includes("test-support/leftovers"));
  const caller = frames[0] ?? "";
  return /packages\/\w+\/src\//.test(caller) && !/\.test\.ts|test-support/.test(caller);
}
