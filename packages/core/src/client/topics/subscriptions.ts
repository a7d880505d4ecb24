/**
 * A client's subscriptions. They are asked for by a call when the client is connected, and again, from where they were,
 * each time it reconnects. A token says which call a TOPIC_START belongs to: a program may have left and come back in
 * the meantime.
 */

import type { ProtocolConnection } from "../../connection/protocol-connection.ts";
import { HookList } from "../../endpoint/hook-list.ts";
import type { Disposer } from "../../endpoint/method-types.ts";
import { asConduitError, ConduitError, ErrorCode } from "../../errors.ts";
import { parsePosition } from "../../extensions/topics/position.ts";
import {
  type PresenceFrame,
  TOPIC_SUBSCRIBE,
  TOPIC_UNSUBSCRIBE,
  type TopicReceiver,
  type TopicStart,
  topic,
} from "../../extensions/topics/topic.ts";
import { isTopicName, MAX_TOPIC_CHARS } from "../../extensions/topics/topic-name.ts";
import type { Validator } from "../../rpc/validation.ts";
import { describeValue } from "../../util/describe-value.ts";
import { isMap } from "../../util/is-map.ts";
import { CallbackTimer } from "../../util/time.ts";
import type { TimerWheel } from "../../util/timer-wheel.ts";
import { type AnySubscription, type SubscribeOptions, Subscription, type SubscriptionOwner } from "./subscription.ts";

/** Subscriptions that a server may begin by itself on one connection. */
const MAX_UNASKED = 10_000;
/** A refused subscription is asked for again after this time at the least. */
const MIN_RETRY_MS = 100;

type Connection = Pick<
  ProtocolConnection<unknown>,
  "call" | "callNoWait" | "extension" | "fail" | "isOpen" | "hasNetconduitPeer"
>;

/** The client of its subscriptions. */
export interface SubscriptionsHost {
  readonly wheel: TimerWheel;
  readonly receiveQueueBytes: number;
  /** The connection, if it is ready for calls. */
  connection(): Connection | null;
  /** Whether there is a connection, or may be one. */
  mayConnect(): boolean;
  /** Checks the data of a topic; null if nothing does. */
  validatorOf(topic: string): Validator<unknown> | null;
  /** A message was invalid. */
  reportInvalid(error: unknown, topic: string): void;
  hookFailed(name: string, error: unknown): void;
}

interface Entry {
  readonly subscription: AnySubscription;
  readonly validator: Validator<unknown> | null;
  readonly watchesPresence: boolean;
  /** Whether this side asked for it, and asks again after a reconnect. */
  isAsked: boolean;
  /** Of the last call, which TOPIC_START repeats. */
  token: number;
  /** On the current connection; -1 until it has started there. */
  number: number;
  /** Whether it has started on any connection. */
  hasStarted: boolean;
  /** Aborts the call that asks for it. */
  asking: AbortController | null;
  retry: CallbackTimer | null;
}

export class Subscriptions implements TopicReceiver, SubscriptionOwner {
  readonly #host: SubscriptionsHost;
  readonly #byName = new Map<string, Entry>();
  /** On the current connection. */
  readonly #byNumber = new Map<number, Entry>();
  readonly #hooks = new HookList<[subscription: Subscription]>();
  #nextToken = 1;
  /** Number of subscriptions that the server began on this connection. */
  #unasked = 0;

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

  /** Runs when the server has subscribed this client by itself. */
  onSubscribed(hook: (subscription: Subscription) => unknown): Disposer {
    return this.#hooks.add(hook);
  }

  /** @throws ConduitError INVALID_CONFIG, INVALID_STATE if the topic is subscribed to */
  subscribe(name: string, options: SubscribeOptions): AnySubscription {
    checkArguments(name, options);
    const known = this.#byName.get(name);
    if (known?.isAsked === true) {
      const message = `Cannot subscribe to '${name}': this client is subscribed already; use that subscription, or close it`;
      throw new ConduitError(ErrorCode.INVALID_STATE, message);
    }
    if (known !== undefined) {
      // The server began it, and nobody has taken it.
      known.isAsked = true;
      // It may have begun on an earlier connection only.
      const current = this.#host.connection();
      if (known.number < 0 && current !== null) this.#ask(known, current);
      return known.subscription;
    }
    const since = options.since === undefined ? null : parsePosition(options.since);
    const subscription = new Subscription(this, name, options, since);
    const entry = this.#add(subscription, options.presence !== false, true);
    const connection = this.#host.connection();
    if (connection === null && !this.#host.mayConnect()) {
      this.#drop(entry);
      subscription._end(new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot subscribe to '${name}': not connected`));
    } else if (connection !== null) {
      this.#ask(entry, connection);
    }
    return subscription;
  }

  /** The client is connected, or again. */
  connected(connection: Connection): void {
    for (const entry of this.#byName.values()) if (entry.isAsked && entry.number < 0) this.#ask(entry, connection);
  }

  /** The connection was lost. */
  disconnected(): void {
    this.#byNumber.clear();
    this.#unasked = 0;
    for (const entry of this.#byName.values()) {
      entry.number = -1;
      this.#stopAsking(entry);
      entry.subscription._pause();
    }
  }

  /** There will be no connection: all of them end, by this error unless the program wants it so. */
  endAll(error: ConduitError | null): void {
    for (const entry of [...this.#byName.values()]) {
      this.#drop(entry);
      entry.subscription._end(error);
    }
  }

  left(subscription: AnySubscription): void {
    const entry = this.#byName.get(subscription.topic);
    if (entry?.subscription !== subscription) return;
    this.#drop(entry);
    const connection = this.#host.connection();
    if (connection?.extension(topic) === undefined || !connection.isOpen) return;
    const params = { topic: subscription.topic };
    connection.call(TOPIC_UNSUBSCRIBE, params, undefined, null).catch((error: unknown) => {
      // With the connection, the subscription has ended on the other side too.
      if (connection.isOpen) this.#host.reportInvalid(error, subscription.topic);
    });
  }

  // --- TopicReceiver ------------------------------------------------------------------------------------------------

  topicStarted(number: number, start: TopicStart): void {
    let entry = this.#byName.get(start.topic);
    if (start.token !== null && entry?.token !== start.token) return;
    if (entry === undefined) {
      if (this.#hooks.isEmpty) return;
      entry = this.#add(new Subscription(this, start.topic, {}, null), true, false);
      this.#unasked += 1;
      if (this.#unasked > MAX_UNASKED) {
        const message = `The server began more than ${MAX_UNASKED} subscriptions that were not asked for`;
        this.#host.connection()?.fail(new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message));
        return;
      }
    }
    const isNew = !entry.hasStarted;
    const isReturn = entry.hasStarted && entry.number < 0;
    if (entry.number >= 0) this.#byNumber.delete(entry.number);
    entry.number = number;
    entry.hasStarted = true;
    this.#byNumber.set(number, entry);
    entry.subscription._start(start, isReturn);
    if (isNew && !entry.isAsked) {
      this.#hooks.notify((error) => this.#host.hookFailed("onSubscribed", error), entry.subscription);
    }
  }

  topicData(number: number, offset: number, data: unknown, bytes: number): void {
    const entry = this.#byNumber.get(number);
    if (entry === undefined) return;
    const { subscription, validator } = entry;
    if (!subscription._expects(offset)) return;
    let value = data;
    try {
      if (validator !== null) value = validator.run(data, subscription.topic);
      if (typeof (value as { then?: unknown } | null)?.then === "function") {
        void Promise.resolve(value).catch(() => undefined);
        throw asynchronousSchema(subscription.topic);
      }
    } catch (error) {
      subscription._invalid();
      this.#host.reportInvalid(error, subscription.topic);
      return;
    }
    subscription._push(value, offset, bytes);
  }

  topicPresence(number: number, presence: PresenceFrame): void {
    this.#byNumber.get(number)?.subscription._presence(presence);
  }

  topicEnded(number: number, _error: ConduitError): void {
    const entry = this.#byNumber.get(number);
    if (entry === undefined) return;
    this.#drop(entry);
    entry.subscription._end(null);
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #add(subscription: AnySubscription, watchesPresence: boolean, isAsked: boolean): Entry {
    const entry: Entry = {
      subscription,
      validator: this.#host.validatorOf(subscription.topic),
      watchesPresence,
      isAsked,
      token: 0,
      number: -1,
      hasStarted: false,
      asking: null,
      retry: null,
    };
    this.#byName.set(subscription.topic, entry);
    return entry;
  }

  #drop(entry: Entry): void {
    this.#stopAsking(entry);
    if (this.#byName.get(entry.subscription.topic) === entry) this.#byName.delete(entry.subscription.topic);
    if (this.#byNumber.get(entry.number) === entry) this.#byNumber.delete(entry.number);
  }

  #stopAsking(entry: Entry): void {
    entry.asking?.abort();
    entry.asking = null;
    if (entry.retry !== null) this.#host.wheel.cancel(entry.retry);
    entry.retry = null;
  }

  #ask(entry: Entry, connection: Connection): void {
    const { subscription, watchesPresence } = entry;
    const state = connection.extension(topic);
    if (state === undefined) {
      this.#drop(entry);
      const peer = connection.hasNetconduitPeer ? "a netconduit server has none" : "the server has none";
      const message = `Cannot subscribe to '${subscription.topic}': ${peer} (extension 'topic')`;
      subscription._end(new ConduitError(ErrorCode.PEER_UNSUPPORTED, message));
      return;
    }
    state.receiver = this;
    const controller = new AbortController();
    entry.asking = controller;
    entry.token = this.#nextToken++;
    const since = subscription._since;
    const params = {
      topic: subscription.topic,
      token: entry.token,
      ...(since === undefined ? {} : { since }),
      ...(watchesPresence ? {} : { presence: false }),
    };
    const { signal } = controller;
    connection.call(TOPIC_SUBSCRIBE, params, { signal }, null).then(
      () => {
        if (entry.asking === controller) entry.asking = null;
      },
      (error: unknown) => {
        if (entry.asking !== controller) return;
        entry.asking = null;
        this.#refused(entry, connection, asConduitError(error));
      },
    );
  }

  #refused(entry: Entry, connection: Connection, error: ConduitError): void {
    // The next connection asks again.
    if (error.code === ErrorCode.SERVER_STOPPING || !connection.isOpen) return;
    const retryAfter: unknown = isMap(error.details) ? error.details["retry_after"] : undefined;
    if (error.code === ErrorCode.RATE_LIMITED && typeof retryAfter === "number") {
      entry.retry = new CallbackTimer(() => {
        entry.retry = null;
        const current = this.#host.connection();
        if (current !== null && entry.number < 0) this.#ask(entry, current);
      });
      this.#host.wheel.schedule(entry.retry, Math.max(MIN_RETRY_MS, Math.min(retryAfter * 1000, 60_000)));
      return;
    }
    this.#drop(entry);
    entry.subscription._end(error);
  }
}

/** @throws ConduitError INVALID_CONFIG */
function checkArguments(name: unknown, options: SubscribeOptions): void {
  if (!isTopicName(name)) {
    const message = `The name of a topic must be a string of 1 to ${MAX_TOPIC_CHARS} characters, got ${describeValue(name)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
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
  if (since !== undefined && parsePosition(since) === null) fail("since must be the position of a subscription", since);
}

function asynchronousSchema(name: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_CONFIG, `The schema of topic '${name}' must not be asynchronous`);
}
