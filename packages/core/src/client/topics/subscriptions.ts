/**
 * A client's subscriptions. They are requested by a call when the client is connected, and restored at their position
 * each time it reconnects.
 *
 * The server keeps one subscription per topic, which several subscriptions of this client share. Each is requested by
 * its own call with its own position, which makes the server send (again) the messages after that position, and each
 * takes the messages that are new to it. A token identifies the call that a TOPIC_START belongs to, because a program
 * may have unsubscribed and subscribed again in the meantime.
 */

import type { ProtocolConnection } from "../../connection/protocol-connection.ts";
import { HookList } from "../../endpoint/hook-list.ts";
import type { Disposer } from "../../endpoint/method-types.ts";
import { asConduitError, ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { formatPosition, type Position, parsePosition } from "../../extensions/topics/position.ts";
import {
  type PresenceFrame,
  TOPIC_SUBSCRIBE,
  TOPIC_UNSUBSCRIBE,
  type TopicReceiver,
  type TopicStart,
  topic,
} from "../../extensions/topics/topic.ts";
import { checkTopicName } from "../../extensions/topics/topic-name.ts";
import type { Validator } from "../../rpc/validation.ts";
import { describeValue } from "../../text/describe-value.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { retryAfterIn } from "../../util/retry-after.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { TimerWheel } from "../../util/timer-wheel.ts";
import { type AnySubscription, type SubscribeOptions, Subscription, type SubscriptionOwner } from "./subscription.ts";
import { UnsolicitedShare } from "./unsolicited-share.ts";

/** Maximum number of subscriptions started by the server on one connection. */
const MAX_UNSOLICITED = 10_000;
/** Minimum delay before a temporarily rejected subscription is requested again. */
const MIN_RETRY_MS = 100;
const MAX_RETRY_MS = 60_000;
/** Delay before retrying when the send queue is full. */
const FULL_QUEUE_RETRY_MS = 1000;

type Connection = Pick<
  ProtocolConnection<unknown>,
  "extension" | "fail" | "isOpen" | "isSuspended" | "hasNetconduitPeer" | "sender"
>;

/** The client that the subscriptions belong to. */
export interface SubscriptionsHost {
  readonly wheel: TimerWheel;
  readonly receiveQueueBytes: number;
  /** The connection, if it accepts calls. It may be waiting for a new stream. */
  connection(): Connection | null;
  /** Whether there is a connection, or may be one later. */
  mayConnect(): boolean;
  /** The validator of a topic's data; null for none. */
  validatorOf(topic: string): Validator<unknown> | null;
  /** Reports an invalid message. */
  reportInvalid(error: unknown, topic: string): void;
  hookFailed(name: string, error: unknown): void;
}

/** A topic that the client is subscribed to or is requesting. */
interface Entry {
  readonly topic: string;
  readonly validator: Validator<unknown> | null;
  readonly subscriptions: Set<AnySubscription>;
  /** Subscribing calls by token, until both their result and their TOPIC_START have arrived. */
  readonly asks: Map<number, Ask>;
  /** The topic's number on the current connection; -1 until it has started there. */
  number: number;
}

/** A subscribing call. */
interface Ask {
  readonly token: number;
  readonly subscriptions: Set<AnySubscription>;
  /** Aborts the call; null once its result has arrived. */
  calling: AbortController | null;
  hasStarted: boolean;
  /** Set if it was temporarily rejected. */
  retry: CallbackTimer | null;
}

/** Marks invalid data of a message. */
const INVALID = Symbol("invalid");

export class Subscriptions implements TopicReceiver, SubscriptionOwner {
  readonly #host: SubscriptionsHost;
  readonly #byName = new Map<string, Entry>();
  /** Entries by number on the current connection. */
  readonly #byNumber = new Map<number, Entry>();
  /** Topics whose unsubscribe call has to be repeated. */
  readonly #leaving = new Map<string, CallbackTimer>();
  readonly #hooks = new HookList<[subscription: Subscription]>();
  #nextToken = 1;
  /** Number of subscriptions started by the server, including those of earlier connections. */
  #unsolicited = 0;
  /** Subscriptions started by the server whose asynchronous hooks are running. */
  readonly #hooked = new Set<AnySubscription>();
  readonly #unsolicitedShare: UnsolicitedShare = new UnsolicitedShare(() => this.maxBytes);

  constructor(host: SubscriptionsHost) {
    this.#host = host;
  }

  get maxBytes(): number {
    return this.#host.receiveQueueBytes;
  }

  hookFailed(name: string, error: unknown): void {
    this.#host.hookFailed(name, error);
  }

  closedError(name: string): ConduitError {
    return new ConduitError(ErrorCode.CANCELLED, `The subscription to '${name}' was closed`);
  }

  /** Runs when the server has subscribed this client by `topic.add`. */
  onSubscribed(hook: (subscription: Subscription) => unknown): Disposer {
    return this.#hooks.add(hook);
  }

  /** @throws ConduitError INVALID_CONFIG */
  subscribe(name: string, options: SubscribeOptions): AnySubscription {
    return this.attach(makeSubscription(this, name, options));
  }

  /** Adds a subscription, which may continue from another client. */
  attach(subscription: AnySubscription): AnySubscription {
    const name = subscription.topic;
    const connection = this.#host.connection();
    if (connection === null && !this.#host.mayConnect()) {
      subscription._end(notConnected(name));
      return subscription;
    }
    const entry = this.#byName.get(name) ?? this.#open(name);
    const known = presenceIn(entry);
    entry.subscriptions.add(subscription);
    if (known !== null) subscription._setPresence(true, known);
    if (connection !== null) this.#ask(entry, [subscription], connection);
    return subscription;
  }

  /** The client has connected or reconnected. */
  connected(connection: Connection): void {
    for (const entry of [...this.#byName.values()]) this.#askForAll(entry, connection);
  }

  /** The connection was lost. */
  disconnected(): void {
    this.#byNumber.clear();
    for (const timer of this.#leaving.values()) this.#host.wheel.cancel(timer);
    this.#leaving.clear();
    for (const entry of this.#byName.values()) {
      entry.number = -1;
      for (const ask of entry.asks.values()) this.#stopAsking(ask);
      entry.asks.clear();
      for (const subscription of entry.subscriptions) subscription._pause();
    }
  }

  /** Ends all subscriptions, because there will be no further connection. @param error null if the program closed the client */
  endAll(error: ConduitError | null): void {
    this.#unsolicited = 0;
    for (const entry of [...this.#byName.values()]) {
      this.#drop(entry);
      for (const subscription of entry.subscriptions) subscription._end(error);
    }
  }

  left(subscription: AnySubscription): void {
    this.detach(subscription);
  }

  /** Removes a subscription, and unsubscribes at the server if it was the topic's last one. */
  detach(subscription: AnySubscription): void {
    const entry = this.#byName.get(subscription.topic);
    if (entry?.subscriptions.delete(subscription) !== true) return;
    this.#countEnded(subscription);
    for (const ask of entry.asks.values()) {
      if (!ask.subscriptions.delete(subscription) || ask.subscriptions.size > 0) continue;
      this.#stopAsking(ask);
      entry.asks.delete(ask.token);
    }
    subscription._pause();
    if (entry.subscriptions.size > 0) return;
    this.#drop(entry);
    this.#leave(entry.topic);
  }

  // --- TopicReceiver ------------------------------------------------------------------------------------------------

  topicStarted(number: number, start: TopicStart): void {
    let entry = this.#byName.get(start.topic);
    const isUnsolicited = start.token === null && entry === undefined;
    if (isUnsolicited) {
      if (this.#hooks.isEmpty) return;
      entry = this.#startUnsolicited(start.topic);
    }
    if (entry === undefined) return;
    const ask = start.token === null ? undefined : entry.asks.get(start.token);
    // From a call made before the program unsubscribed and subscribed again.
    if (start.token !== null && ask === undefined && entry.number !== number) return;
    const isFirst = entry.number !== number;
    if (isFirst) this.#byNumber.delete(entry.number);
    entry.number = number;
    this.#byNumber.set(number, entry);
    const starting = [...entry.subscriptions].filter(
      (one) => ask?.subscriptions.has(one) === true || isStarted(entry, one, start),
    );
    if (ask !== undefined) {
      ask.hasStarted = true;
      if (ask.calling === null) entry.asks.delete(ask.token);
    }
    for (const one of entry.subscriptions) if (isFirst || start.presence) one._setPresence(start.presence);
    // Copied, because hooks may close subscriptions.
    for (const one of [...entry.subscriptions]) if (one.isLive && !starting.includes(one)) one._started(start);
    for (const one of starting) {
      this.#dropRetries(entry, one);
      one._start(start, ask?.subscriptions.has(one) === true);
      // In a cluster, the call is answered once messages from other nodes arrive as well.
      if (ask === undefined || ask.calling === null) one._ready();
    }
    if (isUnsolicited) for (const one of starting) this.#notifySubscribed(one);
  }

  topicData(number: number, offset: number, data: unknown, bytes: number): void {
    const entry = this.#byNumber.get(number);
    if (entry === undefined) return;
    let isChecked = false;
    let value: unknown = data;
    for (const subscription of entry.subscriptions) {
      if (!subscription.isLive || !subscription._expects(offset)) continue;
      if (!isChecked) value = this.#check(entry, data);
      isChecked = true;
      if (value === INVALID) subscription._invalid();
      else subscription._push(value, offset, bytes);
    }
  }

  topicPresence(number: number, presence: PresenceFrame): void {
    for (const one of this.#byNumber.get(number)?.subscriptions ?? []) one._updatePresence(presence);
  }

  topicEnded(number: number, error: ConduitError): void {
    const entry = this.#byNumber.get(number);
    if (entry === undefined) return;
    this.#byNumber.delete(number);
    entry.number = -1;
    // Subscriptions with a pending call may start again.
    const ended = [...entry.subscriptions].filter(({ isLive }) => isLive);
    for (const one of ended) {
      entry.subscriptions.delete(one);
      this.#countEnded(one);
    }
    if (entry.subscriptions.size === 0) this.#drop(entry);
    // A topic ended by the server's program isn't a failure, but one that the server can't continue is.
    const failure = error.code === ErrorCode.CLUSTER_UNAVAILABLE ? error : null;
    for (const one of ended) one._end(failure);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #open(name: string): Entry {
    const validator = this.#host.validatorOf(name);
    const entry: Entry = { topic: name, validator, subscriptions: new Set(), asks: new Map(), number: -1 };
    this.#byName.set(name, entry);
    this.#stopLeaving(name);
    return entry;
  }

  /** The server starts a subscription. */
  #startUnsolicited(name: string): Entry | undefined {
    if (this.#unsolicited === MAX_UNSOLICITED) this.#endEarlierUnsolicited();
    // Hooks of subscriptions that have already ended may still be running.
    if (this.#unsolicited === MAX_UNSOLICITED || this.#hooked.size >= 2 * MAX_UNSOLICITED) {
      const what = this.#unsolicited === MAX_UNSOLICITED ? "continue" : "keep hooks of onSubscribed running";
      const message = `The server started more than ${MAX_UNSOLICITED} subscriptions that the client didn't request and that ${what}`;
      this.#host.connection()?.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message));
      return undefined;
    }
    this.#unsolicited += 1;
    const entry = this.#open(name);
    entry.subscriptions.add(new Subscription(this, name, {}, null, this.#unsolicitedShare));
    return entry;
  }

  /** Ends subscriptions started by the server on earlier connections and not on this one. */
  #endEarlierUnsolicited(): void {
    for (const entry of [...this.#byName.values()]) {
      const left = [...entry.subscriptions].filter(({ _isUnsolicited, isLive }) => _isUnsolicited && !isLive);
      if (left.length > 0) this.#endThese(entry, left, null);
    }
  }

  #countEnded({ _isUnsolicited }: AnySubscription): void {
    if (_isUnsolicited) this.#unsolicited -= 1;
  }

  #notifySubscribed(subscription: AnySubscription): void {
    const running = this.#hooks.start((error) => this.#host.hookFailed("onSubscribed", error), subscription);
    if (running === null) return;
    this.#hooked.add(subscription);
    void running.then(() => this.#hooked.delete(subscription));
  }

  /** Returns the schema's output, or INVALID. */
  #check({ topic: name, validator }: Entry, data: unknown): unknown {
    if (validator === null) return data;
    try {
      return validator.runNow(data, name);
    } catch (error) {
      this.#host.reportInvalid(error, name);
      return INVALID;
    }
  }

  #drop(entry: Entry): void {
    for (const ask of entry.asks.values()) this.#stopAsking(ask);
    entry.asks.clear();
    if (this.#byName.get(entry.topic) === entry) this.#byName.delete(entry.topic);
    if (this.#byNumber.get(entry.number) === entry) this.#byNumber.delete(entry.number);
  }

  // --- asking -------------------------------------------------------------------------------------------------------

  /** Makes one call for all subscriptions with the same position. */
  #askForAll(entry: Entry, connection: Connection): void {
    const byPosition = new Map<string | null, AnySubscription[]>();
    for (const one of entry.subscriptions) {
      if (one._isUnsolicited) continue;
      const position = one._since && formatPosition(one._since);
      byPosition.set(position, [...(byPosition.get(position) ?? []), one]);
    }
    for (const group of byPosition.values()) this.#ask(entry, group, connection);
  }

  #ask(entry: Entry, subscriptions: readonly AnySubscription[], connection: Connection): void {
    const state = connection.extension(topic);
    if (state === undefined) {
      const peer = connection.hasNetconduitPeer ? "a netconduit server has none" : "the server has none";
      const message = `Cannot subscribe to '${entry.topic}': ${peer} (extension 'topic')`;
      this.#endThese(entry, subscriptions, new ConduitError(ErrorCode.PEER_UNSUPPORTED, message));
      return;
    }
    state.receiver = this;
    const controller = new AbortController();
    const ask: Ask = {
      token: this.#nextToken++,
      subscriptions: new Set(subscriptions),
      calling: controller,
      hasStarted: false,
      retry: null,
    };
    entry.asks.set(ask.token, ask);
    const since = earliest(subscriptions);
    const isNew = entry.number < 0;
    const needsPresence = [...entry.subscriptions].some(
      (one) => one._watchesPresence && (isNew || one.presence === null),
    );
    const params = {
      topic: entry.topic,
      token: ask.token,
      ...(since === null ? {} : { since: formatPosition(since) }),
      ...(needsPresence ? {} : { presence: false }),
    };
    connection.sender.call(TOPIC_SUBSCRIBE, params, { signal: controller.signal }, null).then(
      () => {
        ask.calling = null;
        if (!ask.hasStarted) return;
        entry.asks.delete(ask.token);
        for (const one of ask.subscriptions) one._ready();
      },
      (error: unknown) => {
        if (entry.asks.get(ask.token) !== ask) return;
        ask.calling = null;
        this.#refused(entry, ask, connection, asConduitError(error));
      },
    );
  }

  #refused(entry: Entry, ask: Ask, connection: Connection, error: ConduitError): void {
    entry.asks.delete(ask.token);
    // Requested again on the next connection.
    if (error.code === ErrorCode.SERVER_STOPPING || !connection.isOpen) return;
    if (isTooEarly(error, connection)) {
      this.#ask(entry, [...ask.subscriptions], connection);
      return;
    }
    const retryMs = retryTimeOf(error);
    if (retryMs !== null) {
      ask.retry = new CallbackTimer(() => {
        entry.asks.delete(ask.token);
        const current = this.#host.connection();
        if (current !== null) this.#ask(entry, [...ask.subscriptions], current);
      });
      entry.asks.set(ask.token, ask);
      this.#host.wheel.schedule(ask.retry, retryMs);
      return;
    }
    const { number } = entry;
    this.#endThese(entry, ask.subscriptions, error);
    // Otherwise the server may have subscribed this client.
    const isRefusal = isInstance(error, RpcError);
    if (entry.subscriptions.size === 0 && (number >= 0 || !isRefusal)) this.#leave(entry.topic);
  }

  #endThese(entry: Entry, subscriptions: Iterable<AnySubscription>, error: ConduitError | null): void {
    const these = [...subscriptions];
    for (const one of these) {
      entry.subscriptions.delete(one);
      this.#countEnded(one);
    }
    if (entry.subscriptions.size === 0) this.#drop(entry);
    for (const one of these) one._end(error);
  }

  #stopAsking(ask: Ask): void {
    ask.calling?.abort();
    ask.calling = null;
    if (ask.retry !== null) this.#host.wheel.cancel(ask.retry);
    ask.retry = null;
  }

  /** Cancels retries for a subscription. */
  #dropRetries(entry: Entry, subscription: AnySubscription): void {
    for (const ask of entry.asks.values()) {
      if (ask.retry === null || !ask.subscriptions.delete(subscription) || ask.subscriptions.size > 0) continue;
      this.#stopAsking(ask);
      entry.asks.delete(ask.token);
    }
  }

  // --- leaving ------------------------------------------------------------------------------------------------------

  /** Unsubscribes at the server. Retries if it is too busy, because it would continue sending. */
  #leave(name: string): void {
    const connection = this.#host.connection();
    if (connection?.extension(topic) === undefined || !connection.isOpen || this.#byName.has(name)) return;
    connection.sender.call(TOPIC_UNSUBSCRIBE, { topic: name }, undefined, null).catch((reason: unknown) => {
      // The end of the connection has also ended the subscription on the server.
      if (!connection.isOpen || this.#byName.has(name)) return;
      const error = asConduitError(reason);
      if (isTooEarly(error, connection)) {
        this.#leave(name);
        return;
      }
      const retryMs = retryTimeOf(error);
      if (retryMs === null) {
        this.#host.reportInvalid(reason, name);
        return;
      }
      const timer = new CallbackTimer(() => {
        this.#leaving.delete(name);
        this.#leave(name);
      });
      this.#stopLeaving(name);
      this.#leaving.set(name, timer);
      this.#host.wheel.schedule(timer, retryMs);
    });
  }

  #stopLeaving(name: string): void {
    const timer = this.#leaving.get(name);
    if (timer === undefined) return;
    this.#host.wheel.cancel(timer);
    this.#leaving.delete(name);
  }
}

/** The error of a subscription made while no connection is expected. */
export function notConnected(name: string): ConduitError {
  const message = `Cannot subscribe to '${name}': not connected; call connect() first`;
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, message);
}

/** Whether a start of its topic that isn't the answer to its own call also starts this subscription. */
function isStarted({ asks }: Entry, subscription: AnySubscription, { epoch, offset }: TopicStart): boolean {
  if (subscription.isLive) return false;
  const own = [...asks.values()].filter(({ subscriptions }) => subscriptions.has(subscription));
  if (own.some(({ retry }) => retry === null)) return false;
  const { _since } = subscription;
  // Only the answer to its own call shows whether the messages up to its position still exist.
  const isAhead = _since !== null && _since.epoch === epoch && _since.offset > offset;
  return own.length === 0 || !isAhead;
}

/** The topic's subscribers, if one of its subscriptions has the list. */
function presenceIn({ subscriptions }: Entry): AnySubscription["presence"] {
  for (const { isLive, presence } of subscriptions) if (isLive && presence !== null) return presence;
  return null;
}

/** The earliest position of subscriptions in the same epoch. */
function earliest(subscriptions: readonly AnySubscription[]): Position | null {
  const positions = subscriptions.map(({ _since }) => _since).filter((position) => position !== null);
  return positions.length === 0 ? null : positions.reduce((a, b) => (b.offset < a.offset ? b : a));
}

/** Whether a call timed out while there was no stream, so that the server may not have received it. */
function isTooEarly({ code }: ConduitError, { isSuspended }: Connection): boolean {
  return code === ErrorCode.TIMEOUT && isSuspended;
}

/** How long to wait before retrying after this error; null if it is permanent. */
function retryTimeOf({ code, details }: ConduitError): number | null {
  if (code === ErrorCode.SEND_QUEUE_FULL) return FULL_QUEUE_RETRY_MS;
  const isForNow = code === ErrorCode.RATE_LIMITED || code === ErrorCode.CLUSTER_UNAVAILABLE;
  const waitMs = isForNow ? retryAfterIn(details) : null;
  return waitMs === null ? null : Math.max(MIN_RETRY_MS, Math.min(waitMs, MAX_RETRY_MS));
}

const SUBSCRIBE = new KnownOptions<SubscribeOptions>(
  "subscribe",
  { since: true, buffer: true, slow: true, presence: true },
  "; messages are read by `for await (const data of subscription)`",
);

/** @throws ConduitError INVALID_CONFIG */
export function makeSubscription(owner: SubscriptionOwner, name: string, options: SubscribeOptions): AnySubscription {
  checkArguments(name, options);
  const since = parsePosition(options.since);
  return new Subscription(owner, name, options, since);
}

function checkArguments(name: unknown, options: SubscribeOptions): void {
  checkTopicName(name);
  SUBSCRIBE.check(options, name);
  const { buffer, slow, since } = options;
  const fail = (rule: string, value: unknown): never => {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `${rule} for '${name}', got ${describeValue(value)}`);
  };
  if (buffer !== undefined && !(Number.isSafeInteger(buffer) && buffer >= 1)) {
    fail("buffer must be an integer of 1 or more", buffer);
  }
  if (slow !== undefined && slow !== "drop-oldest" && slow !== "drop-newest") {
    fail('slow must be "drop-oldest" or "drop-newest"', slow);
  }
  const isPosition = (since ?? null) === null || parsePosition(since) !== null;
  if (!isPosition) fail("since must be the position of a subscription", since);
}
