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
   * An earlier `position`, which may be null. Messages after it are sent first, if the server still has all of them.
   * See `recovered`.
   */
  readonly since?: string | null | undefined;
  /** Maximum number of messages waiting to be read. Default 1,000. */
  readonly buffer?: number | undefined;
  /** Which message is dropped when the buffer is full. Default `"drop-oldest"`. */
  readonly slow?: "drop-oldest" | "drop-newest" | undefined;
  /** Whether to receive the list of subscribers, if the topic has presence. Default true. */
  readonly presence?: boolean | undefined;
}

/** Whether a subscription missed messages, while the client was disconnected or between nodes of a cluster. */
export interface Resumption {
  /** Whether nothing was missed. */
  readonly recovered: boolean;
  /** Number of missed messages; null if unknown, because the server no longer has the topic's history or missed them itself. */
  readonly missed: number | null;
}

/** A subscription's buffer, for limits shared with others. */
export interface MessageBuffer {
  /** Number of messages waiting to be read. */
  readonly waiting: number;
  _dropOldest(): void;
}

/** Limits shared by several subscriptions. */
export interface SubscriptionShare extends MemberCount {
  /** A message was added. May drop older ones, or this one. */
  added(buffer: MessageBuffer, bytes: number): void;
  /** Messages were removed. `isTaken`: read by the program. */
  removed(buffer: MessageBuffer, bytes: number, isTaken: boolean): void;
}

/** The client or pool that a subscription belongs to. */
export interface SubscriptionOwner {
  /** Maximum memory of waiting messages, in bytes. */
  readonly maxBytes: number;
  closedError(topic: string): ConduitError;
  /** The program has closed the subscription. */
  left(subscription: AnySubscription): void;
  /** The subscription has ended. */
  ended?(subscription: AnySubscription): void;
  hookFailed(name: string, error: unknown): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the type of its data is the program's affair
export type AnySubscription = Subscription<any>;

interface Item {
  readonly value: unknown;
  /** Null if the message isn't part of the topic's history. */
  readonly position: Position | null;
  readonly bytes: number;
}

interface Taker {
  resolve(result: IteratorResult<unknown, undefined>): void;
  reject(error: unknown): void;
}

/** Memory of a waiting message besides its data. */
const ITEM_BYTES = 128;

/**
 * A client's subscription to a topic: its messages in order, as an async iterable for one consumer. Leaving the loop
 * ends the subscription. When the client reconnects, the subscription is restored automatically and the iteration
 * continues.
 */
export class Subscription<T = unknown> implements AsyncIterableIterator<T, undefined> {
  /** The topic's name. */
  readonly topic: string;
  /**
   * Resolves when the server has subscribed this client, including to messages from other nodes of a cluster. Rejects
   * if the server doesn't accept it, or if the subscription ends first.
   */
  readonly ready: Promise<void>;
  /** The shared limits of subscriptions started by the server; null if the program requested this one. */
  readonly #share: SubscriptionShare | null;
  /** @internal Whether the program wants the list of subscribers. */
  readonly _watchesPresence: boolean;
  readonly #owner: SubscriptionOwner;
  readonly #buffer: number;
  readonly #dropsOldest: boolean;
  readonly #resumeHooks = new HookList<[resumption: Resumption]>();
  readonly #items = new Fifo<Item>();
  readonly #takers = new Fifo<Taker>();
  #bytes = 0;
  /** Position after the last received message; null before the first start. */
  #received: Position | null;
  #taken: Position | null;
  #recovered = false;
  #dropped = 0;
  #isLive = false;
  /** Whether the server has ever started it. */
  #hasStarted = false;
  #hasEnded = false;
  /** Thrown once, after the last item. */
  #error: ConduitError | null = null;
  #presence: TopicPresenceView | null = null;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: unknown) => void = () => undefined;

  /**
   * @internal
   * @param since the position to continue from
   * @param share set if the server started it
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
      // The iteration throws the same error. Added as late as possible, because V8 only names the awaiting function of a promise without other reactions.
      this.ready.catch(() => undefined);
      throw named;
    }
  }

  /**
   * The position after the last message read by the program, for `since`; null before the server has subscribed this
   * client.
   */
  get position(): string | null {
    return this.#taken === null ? null : formatPosition(this.#taken);
  }

  /**
   * Whether all messages since the option `since`, or since the connection was lost, have been or will be received.
   * False for a subscription that started without `since`, and once the server has skipped messages because this side
   * reads too slowly. `onResume` reports each restoration.
   */
  get recovered(): boolean {
    return this.#recovered;
  }

  /**
   * Number of messages that didn't reach the program, as far as known: dropped by the server or by the buffer because
   * this side was too slow, invalid, or missed while disconnected.
   */
  get dropped(): number {
    return this.#dropped;
  }

  /** The topic's subscribers; null if the topic has no presence, or the option `presence` is false. */
  get presence(): TopicPresenceView | null {
    return this.#presence;
  }

  /** Whether the server is currently delivering messages: false while disconnected and after the end. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Number of messages waiting to be read. */
  get waiting(): number {
    return this.#items.length;
  }

  /**
   * Runs when the subscription was restored after a lost connection, and when the server reports that it has missed
   * messages from other nodes. Returns a function that removes the hook.
   */
  onResume(hook: (resumption: Resumption) => unknown): Disposer {
    return this.#resumeHooks.add(hook);
  }

  /**
   * The next message. `done` once the subscription was closed, by this side or by the server.
   * @throws ConduitError if the server doesn't accept the subscription (NOT_FOUND, PERMISSION_DENIED,
   *   TOO_MANY_SUBSCRIPTIONS, PEER_UNSUPPORTED, or an application's code), or if the client gives up reconnecting
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

  /** Ends the subscription, like leaving the loop. */
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

  /** Ends the subscription and drops waiting messages. */
  close(): void {
    if (this.#hasEnded) return;
    this.#owner.left(this);
    this._end(null);
    this.#clear();
  }

  /** @internal Whether the server started it, so that the client doesn't restore it after a reconnect. */
  get _isUnsolicited(): boolean {
    return this.#share !== null;
  }

  /** @internal The position to continue from; null for a new subscription. */
  get _since(): Position | null {
    return this.#received;
  }

  /**
   * @internal TOPIC_START has arrived for this subscription.
   * @param isAnswer whether it answers a call with this subscription's position. The server doesn't know the position
   *   otherwise, and a lower offset may mean that messages were lost
   */
  _start(start: TopicStart, isAnswer: boolean): void {
    const isReturn = this.#hasStarted && !this.#isLive;
    const isNew = this.#received === null;
    const isLost = isAnswer ? start.lost : start.offset < (this.#received?.offset ?? 0);
    const missed = this.#continueAt(start, isLost);
    this.#recovered = !isNew && missed === 0;
    this.#hasStarted = true;
    this.#isLive = true;
    if (isReturn) this.#notifyResumed(this.#recovered, missed);
  }

  /** @internal The subscription is in effect, and its call, if there was one, was answered. */
  _ready(): void {
    this.#resolveReady();
  }

  /**
   * @internal TOPIC_START has arrived for another subscription to the same topic, whose messages also come to this
   *   one. Or the server reports missed messages, for example between nodes.
   */
  _started(start: TopicStart): void {
    const missed = this.#continueAt(start, false);
    if (missed !== 0) this.#notifyResumed(false, missed);
  }

  #notifyResumed(recovered: boolean, missed: number | null): void {
    this.#recovered = recovered;
    this.#resumeHooks.notify((error) => this.#owner.hookFailed("onResume", error), { recovered, missed });
  }

  /** Returns the number of skipped messages; null if unknown. */
  #continueAt({ epoch, offset }: TopicStart, isLost: boolean): number | null {
    const before = this.#received;
    const missed = before?.epoch === epoch && !isLost ? Math.max(0, offset - before.offset) : null;
    this.#dropped += missed ?? 0;
    if (missed !== 0) this.#received = { epoch, offset };
    // Waiting messages come before this position.
    if (this.#items.length === 0) this.#taken = this.#received;
    return missed;
  }

  /** @internal Whether a message with this offset is new. Counts messages skipped by the server. */
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

  /** @internal Drops the oldest waiting message, because the shared memory is used up. */
  _dropOldest(): void {
    this.#dropped += 1;
    this.#removed(this.#items.shift() as Item, false);
  }

  #removed({ bytes }: Item, isTaken: boolean): void {
    this.#bytes -= bytes;
    this.#share?.removed(this, bytes, isTaken);
  }

  /** @internal Counts an invalid message. */
  _invalid(): void {
    this.#dropped += 1;
  }

  /** @internal Sets whether the topic has presence. `known`: the list from another subscription, if it has one. */
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

  /** @internal The subscription has ended. Waiting items can still be read. */
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
