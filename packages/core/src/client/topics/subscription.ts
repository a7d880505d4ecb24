import { HookList } from "../../endpoint/hook-list.ts";
import type { Disposer } from "../../endpoint/method-types.ts";
import { type ConduitError, withCallerStack } from "../../errors.ts";
import { formatPosition, type Position } from "../../extensions/topics/position.ts";
import type { PresenceFrame, TopicStart } from "../../extensions/topics/topic.ts";
import { Fifo } from "../../util/fifo.ts";
import { type MemberCount, TopicPresenceView } from "./presence-view.ts";

/** Options of `client.subscribe`. */
export interface SubscribeOptions {
  /**
   * A former `position`, also if that is null: messages after it are sent first, if the server still has them all. See
   * `recovered`.
   */
  readonly since?: string | null | undefined;
  /** Messages that may wait for the program to take them. Default 1,000. */
  readonly buffer?: number | undefined;
  /** Which one is dropped when the buffer is full: the oldest or the newest. Default `"drop-oldest"`. */
  readonly slow?: "drop-oldest" | "drop-newest" | undefined;
  /** Whether to be told who else is subscribed, if the topic has presence. Default true. */
  readonly presence?: boolean | undefined;
}

/** Tells whether a subscription missed messages, while the client was disconnected or between the nodes of a cluster. */
export interface Resumption {
  /** Whether nothing was missed. */
  readonly recovered: boolean;
  /** Number of messages missed; null if it isn't known, since the server has forgotten the topic or missed them itself. */
  readonly missed: number | null;
}

/** A subscription, for what it shares with others. */
export interface MessageBuffer {
  /** Number of messages that wait to be taken. */
  readonly waiting: number;
  _dropOldest(): void;
}

/** Limits that several subscriptions have together. */
export interface SubscriptionShare extends MemberCount {
  /** A message waits. Older ones may be dropped now, or this one. */
  added(buffer: MessageBuffer, bytes: number): void;
  /** Messages are gone. `isTaken`: the program has taken them. */
  removed(buffer: MessageBuffer, bytes: number, isTaken: boolean): void;
}

/** The client, or the pool, that a subscription belongs to. */
export interface SubscriptionOwner {
  /** Bytes of memory that waiting messages may take. */
  readonly maxBytes: number;
  closedError(topic: string): ConduitError;
  /** It was closed by the program. */
  left(subscription: AnySubscription): void;
  /** It is over. */
  ended?(subscription: AnySubscription): void;
  hookFailed(name: string, error: unknown): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the type of its data is the program's affair
export type AnySubscription = Subscription<any>;

interface Item {
  readonly value: unknown;
  /** Null if the message has no place in the topic. */
  readonly position: Position | null;
  readonly bytes: number;
}

interface Taker {
  resolve(result: IteratorResult<unknown, undefined>): void;
  reject(error: unknown): void;
}

/** Memory of a waiting message beside its data. */
const ITEM_BYTES = 128;

/**
 * A client's subscription to a topic: its messages, in order, as an async iterable for one consumer. Leaving the loop
 * ends the subscription. It returns by itself when the client reconnects, and the iteration goes on.
 */
export class Subscription<T = unknown> implements AsyncIterableIterator<T, undefined> {
  /** The topic's name. */
  readonly topic: string;
  /**
   * Resolves when the server has subscribed this client, at a node also to messages of other nodes; rejects if it refuses,
   * or if the subscription ends first.
   */
  readonly ready: Promise<void>;
  /** Limits of all subscriptions that the server began by itself; null if the program asked for this one. */
  readonly #share: SubscriptionShare | null;
  /** @internal Whether the program wants to know who else is subscribed. */
  readonly _watchesPresence: boolean;
  readonly #owner: SubscriptionOwner;
  readonly #buffer: number;
  readonly #dropsOldest: boolean;
  readonly #resumeHooks = new HookList<[resumption: Resumption]>();
  readonly #items = new Fifo<Item>();
  readonly #takers = new Fifo<Taker>();
  #bytes = 0;
  /** Behind the last message received, and the last one that the program took; null before the first start. */
  #received: Position | null;
  #taken: Position | null;
  #recovered = false;
  #dropped = 0;
  #isLive = false;
  /** Whether it has started on any connection. */
  #hasStarted = false;
  #hasEnded = false;
  /** Thrown once, when all items are taken. */
  #error: ConduitError | null = null;
  #presence: TopicPresenceView | null = null;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: unknown) => void = () => undefined;

  /**
   * @internal
   * @param since where the program left off
   * @param share if the server began it by itself
   */
  constructor(
    owner: SubscriptionOwner,
    topic: string,
    options: SubscribeOptions,
    since: Position | null,
    share: SubscriptionShare | null = null,
  ) {
    this.#owner = owner;
    this.topic = topic;
    this.#share = share;
    this._watchesPresence = options.presence !== false;
    this.#buffer = options.buffer ?? 1000;
    this.#dropsOldest = options.slow !== "drop-newest";
    this.#received = since;
    this.#taken = since;
    const ready = new Promise<void>((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.ready = this.#untilReady(ready);
  }

  async #untilReady(ready: Promise<void>): Promise<void> {
    try {
      await ready;
    } catch (error) {
      const named = withCallerStack(error);
      // The iteration has the same error. Not earlier: V8 names who awaits a promise only if it has no other reaction.
      this.ready.catch(() => undefined);
      throw named;
    }
  }

  /**
   * The place behind the last message that the program took, for `since`; null before the server has subscribed this
   * client.
   */
  get position(): string | null {
    return this.#taken === null ? null : formatPosition(this.#taken);
  }

  /**
   * Whether everything since the option `since`, or since the connection was lost, has been or will be received. False
   * for a subscription that began without `since`, and once the server has left out messages because this side reads too
   * slowly. `onResume` tells of every return.
   */
  get recovered(): boolean {
    return this.#recovered;
  }

  /**
   * Messages that didn't reach the program: dropped by the server or in the buffer here, because this side was too slow,
   * invalid, or missed while disconnected, as far as their number is known.
   */
  get dropped(): number {
    return this.#dropped;
  }

  /** The topic's subscribers; null if the topic has no presence, or the option `presence` is false. */
  get presence(): TopicPresenceView | null {
    return this.#presence;
  }

  /** Whether the server delivers messages now: false while disconnected, and when it has ended. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Number of messages that wait to be taken. */
  get waiting(): number {
    return this.#items.length;
  }

  /**
   * Runs when the subscription has returned after the connection was lost, and when the server says that it has missed messages
   * itself, which other nodes had sent. Returns a function that removes the hook.
   */
  onResume(hook: (resumption: Resumption) => unknown): Disposer {
    return this.#resumeHooks.add(hook);
  }

  /**
   * The next message. `done` when the subscription was closed, here or by the server.
   * @throws ConduitError if the server refuses it (NOT_FOUND, PERMISSION_DENIED, TOO_MANY_SUBSCRIPTIONS,
   *   PEER_UNSUPPORTED, or an application's code), or if the client gives up reconnecting
   */
  async next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#removed(item, true);
      return { done: false, value: this.#take(item) };
    }
    if (this.#hasEnded) {
      const error = this.#error;
      this.#error = null;
      if (error !== null) throw withCallerStack(error);
      return { done: true, value: undefined };
    }
    try {
      return await new Promise<IteratorResult<T, undefined>>((resolve, reject) => {
        this.#takers.push({ resolve: resolve as Taker["resolve"], reject });
      });
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** Ends the subscription, as leaving a loop does. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Ends the subscription. Messages that wait are dropped. */
  close(): void {
    if (this.#hasEnded) return;
    this.#owner.left(this);
    this._end(null);
    this.#clear();
  }

  /** @internal Whether the server began it by itself: it isn't asked for again after a reconnect. */
  get _isUnasked(): boolean {
    return this.#share !== null;
  }

  /** @internal Where the server is to continue; null for a new subscription. */
  get _since(): Position | null {
    return this.#received;
  }

  /** @internal TOPIC_START arrived, of a call for this subscription or for one that the server began. */
  _start(start: TopicStart): void {
    const isReturn = this.#hasStarted && !this.#isLive;
    const isNew = this.#received === null;
    const missed = this.#continueAt(start);
    this.#recovered = !isNew && missed === 0;
    this.#hasStarted = true;
    this.#isLive = true;
    if (isReturn) this.#notifyResumed(this.#recovered, missed);
  }

  /** @internal Messages arrive, and the server has answered the call for them, if there was one. */
  _ready(): void {
    this.#resolveReady();
  }

  /**
   * @internal TOPIC_START arrived for another subscription to the same topic: the messages behind it come to both. Or the server
   * says that messages were missed, for example between nodes.
   */
  _started(start: TopicStart): void {
    const missed = this.#continueAt(start);
    if (missed !== 0) this.#notifyResumed(false, missed);
  }

  #notifyResumed(recovered: boolean, missed: number | null): void {
    this.#recovered = recovered;
    this.#resumeHooks.notify((error) => this.#owner.hookFailed("onResume", error), { recovered, missed });
  }

  /** Returns the number of messages that were left out; null if it isn't known. */
  #continueAt({ epoch, offset }: TopicStart): number | null {
    const before = this.#received;
    const missed = before?.epoch === epoch ? Math.max(0, offset - before.offset) : null;
    this.#dropped += missed ?? 0;
    if (missed !== 0) this.#received = { epoch, offset };
    // Waiting messages come before this place.
    if (this.#items.length === 0) this.#taken = this.#received;
    return missed;
  }

  /** @internal Whether a message with this offset is new. Counts those that the server left out. */
  _expects(offset: number): boolean {
    if (offset === 0) return true;
    const last = this.#received as Position;
    if (offset <= last.offset) return false;
    const missed = offset - last.offset - 1;
    this.#dropped += missed;
    if (missed > 0) this.#recovered = false;
    this.#received = { epoch: last.epoch, offset };
    return true;
  }

  /** @internal */
  _push(value: unknown, offset: number, bytes: number): void {
    const item = { value, position: offset === 0 ? null : this.#received, bytes: bytes + ITEM_BYTES };
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve({ done: false, value: this.#take(item) });
      return;
    }
    const isFull = (): boolean => this.#items.length >= this.#buffer || this.#bytes + item.bytes > this.#owner.maxBytes;
    while (isFull() && this.#items.length > 0) {
      if (this.#dropsOldest) {
        this._dropOldest();
        continue;
      }
      this.#dropped += 1;
      return;
    }
    this.#items.push(item);
    this.#bytes += item.bytes;
    this.#share?.added(this, item.bytes);
  }

  /** @internal There is no room for what waits. */
  _dropOldest(): void {
    this.#dropped += 1;
    this.#removed(this.#items.shift() as Item, false);
  }

  #removed({ bytes }: Item, isTaken: boolean): void {
    this.#bytes -= bytes;
    this.#share?.removed(this, bytes, isTaken);
  }

  /** @internal A message was invalid. */
  _invalid(): void {
    this.#dropped += 1;
  }

  /** @internal Whether the topic has presence. `known`: who is there, if another subscription knows. */
  _setPresence(hasPresence: boolean, known: TopicPresenceView | null = null): void {
    if (!hasPresence || !this._watchesPresence) {
      this.#presence?._clear();
      this.#presence = null;
      return;
    }
    this.#presence ??= new TopicPresenceView((error) => this.#owner.hookFailed("onChange", error), this.#share);
    if (known !== null) this.#presence._copy(known);
  }

  /** @internal */
  _updatePresence(frame: PresenceFrame): void {
    this.#presence?._update(frame);
  }

  /** @internal The connection was lost. */
  _pause(): void {
    this.#isLive = false;
    this.#presence?._clear();
  }

  /** @internal It is over. Waiting items can still be taken. */
  _end(error: ConduitError | null): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#isLive = false;
    this.#error = error;
    this.#presence?._clear();
    this.#rejectReady(error ?? this.#owner.closedError(this.topic));
    this.#owner.ended?.(this);
    for (let taker = this.#takers.shift(); taker !== undefined; taker = this.#takers.shift()) {
      if (this.#error === null) {
        taker.resolve({ done: true, value: undefined });
        continue;
      }
      taker.reject(this.#error);
      this.#error = null;
    }
  }

  #take({ value, position }: Item): T {
    if (position !== null) this.#taken = position;
    return value as T;
  }

  #clear(): void {
    this.#items.clear();
    this.#share?.removed(this, this.#bytes, false);
    this.#bytes = 0;
  }
}
