/**
 * A server's topics and patterns, their members, and the calls by which clients subscribe, unsubscribe and publish. A
 * topic of a pattern exists while it has members or kept messages.
 */

import type { AgreedTopic } from "../../endpoint/contract-option.ts";
import { ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { formatPosition, type Position, parsePosition } from "../../extensions/topics/position.ts";
import { MAX_PRESENCE_CHARS } from "../../extensions/topics/topic.ts";
import { fitsPattern, isTopicName } from "../../extensions/topics/topic-name.ts";
import { type AccessControl, missingRoles, verdictOf } from "../../rpc/access.ts";
import { didYouMean } from "../../rpc/nearest-name.ts";
import { describeValue } from "../../text/describe-value.ts";
import type { Awaitable } from "../../util/awaitable.ts";
import { isCount } from "../../util/is-count.ts";
import { isThenable } from "../../util/is-thenable.ts";
import { type AnyConnection, Connection } from "../connection.ts";
import type { ChannelHost, Member } from "./channel-host.ts";
import { IdleTopics } from "./idle-topics.ts";
import { Memberships } from "./memberships.ts";
import { type EndReason, type Joining, TopicChannel, takesTopics } from "./topic-channel.ts";
import { type Admission, parseTopicOptions, type TopicRules } from "./topic-options.ts";

export interface HubHost extends ChannelHost {
  readonly maxSubscriptions: number;
  readonly slowConsumer: "drop" | "disconnect";
  /** The contract's schema for a topic or pattern. */
  agreedTopic(name: string): AgreedTopic | undefined;
  readonly access: AccessControl<AnyConnection>;
  /** The connection of a logged-in client; undefined if it is closing or has closed. */
  memberOf(connection: AnyConnection): Member | undefined;
}

/** Advice for an unknown topic. */
const REMEDY = "a server makes topics by topic(name), or by topics(pattern) for a pattern that fits";

export class TopicHub {
  readonly #host: HubHost;
  /** Rules of topics defined by name. */
  readonly #named = new Map<string, TopicRules>();
  readonly #patterns = new Map<string, TopicRules>();
  readonly #channels = new Map<string, TopicChannel>();
  readonly #memberships: Memberships;
  /** Number of clients waiting for the log of a durable topic to open, by topic. */
  readonly #held = new Map<TopicChannel, number>();
  readonly #idle: IdleTopics;
  #nextNumber = 1;

  /** Called before the first topic or pattern is defined. */
  onFirstTopic: () => void = () => undefined;

  constructor(host: HubHost) {
    this.#host = host;
    this.#memberships = new Memberships(host.maxSubscriptions);
    this.#idle = new IdleTopics(host, (channel) => this.#forget(channel));
  }

  /** @throws ConduitError INVALID_CONFIG, INVALID_STATE if the name is taken */
  define(name: string, isPattern: boolean, options: unknown): TopicRules {
    const rules = parseTopicOptions(
      name,
      isPattern,
      options ?? {},
      this.#host.agreedTopic(name),
      this.#host.slowConsumer,
    );
    if (rules.isDurable && this.#host.cluster === null) {
      const message = `Invalid option history.durable of topic '${name}': it needs the server's option cluster`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    const known = isPattern ? this.#patterns : this.#named;
    if (known.has(name)) {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `Topic '${name}' already exists: keep what topic() or topics() returned, or close that first`,
      );
    }
    this.onFirstTopic();
    this.onFirstTopic = () => undefined;
    known.set(name, rules);
    // An existing topic of a pattern with this name has the pattern's rules.
    const former = isPattern ? undefined : this.#channels.get(name);
    if (former !== undefined) this.#end(former, ended(name));
    if (!isPattern) this.#open(name, rules);
    return rules;
  }

  /** Ends a topic, or all topics of a pattern. Returns false if it had already ended. */
  undefine(rules: TopicRules): boolean {
    const known = rules.isPattern ? this.#patterns : this.#named;
    if (known.get(rules.name) !== rules) return false;
    known.delete(rules.name);
    for (const channel of [...this.#channels.values()]) {
      if (channel.rules === rules) this.#end(channel, ended(channel.name));
    }
    return true;
  }

  /** Ends a topic. A topic of a pattern can be created again. */
  close(name: string, rules: TopicRules): void {
    const channel = this.#channels.get(name);
    if (!rules.isPattern) this.undefine(rules);
    else if (channel?.rules === rules) this.#end(channel, ended(name));
  }

  /** @throws ConduitError INVALID_CONFIG if the name doesn't match the pattern */
  mustFit(name: string, rules: TopicRules): void {
    if (isTopicName(name) && fitsPattern(name, rules.name) && name !== rules.name) return;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `Topic '${name}' doesn't fit the pattern '${rules.name}'`);
  }

  /** The topic of this name, if it exists. */
  channel(name: string): TopicChannel | undefined {
    return this.#channels.get(name);
  }

  get channels(): Iterable<TopicChannel> {
    return this.#channels.values();
  }

  /** @throws RpcError NOT_FOUND */
  rulesFor(name: unknown): TopicRules {
    if (!isTopicName(name)) {
      throw new RpcError(ErrorCode.INVALID_PARAMS, "topic must be a string of 1 to 256 characters");
    }
    const rules = this.#named.get(name) ?? this.#patternOf(name);
    if (rules?.isPattern === true && rules.name === name) {
      const message = `Topic not found: '${name}' is a pattern; take the name of one topic, such as '${name.replace("*", "7")}'`;
      throw new RpcError(ErrorCode.NOT_FOUND, message);
    }
    if (rules !== undefined) return rules;
    throw new RpcError(
      ErrorCode.NOT_FOUND,
      `Topic not found: ${name}${didYouMean(name, this.#named.keys())}; ${REMEDY}`,
    );
  }

  // --- members ------------------------------------------------------------------------------------------------------

  /**
   * Adds a connection to a topic. Returns false if it was already a member.
   * @throws ConduitError INVALID_CONFIG, CONNECTION_CLOSED, PEER_UNSUPPORTED, TOO_MANY_SUBSCRIPTIONS, SEND_QUEUE_FULL,
   *   INVALID_STATE
   */
  add(name: string, rules: TopicRules, connection: AnyConnection, { user }: Admission): boolean {
    mustBeConnection(connection, `Cannot add to topic '${name}'`);
    this.#mustExist(rules);
    const member = this.#mustBeMember(connection, name);
    const isNew = this.channel(name)?.members.has(member) !== true;
    this.#mustHaveRoom(member, name);
    this.#join(member, name, rules, {
      since: null,
      user: checkedUser(user, member),
      watchesPresence: true,
      token: null,
    });
    return isNew;
  }

  /** Whether a connection is subscribed. */
  has(name: string, rules: TopicRules, connection: AnyConnection): boolean {
    mustBeConnection(connection, `Cannot look for a subscriber of topic '${name}'`);
    const channel = this.#channels.get(name);
    const member = this.#host.memberOf(connection);
    return channel?.rules === rules && member !== undefined && channel.members.has(member);
  }

  /** Removes a connection from a topic, and notifies it. Returns whether it was a member. */
  delete(name: string, rules: TopicRules, connection: AnyConnection): boolean {
    mustBeConnection(connection, `Cannot delete from topic '${name}'`);
    const channel = this.#channels.get(name);
    const member = this.#host.memberOf(connection);
    if (channel?.rules !== rules || member === undefined) return false;
    const message = `The server ended the subscription to '${name}'`;
    return this.#leave(member, channel, { code: ErrorCode.CANCELLED, message });
  }

  /** Ends all subscriptions to a topic, but not the topic. */
  endMembers(name: string, reason: EndReason): void {
    const channel = this.#channels.get(name);
    if (channel === undefined) return;
    for (const member of [...channel.members]) this.#leave(member, channel, reason);
  }

  /** Ends the memberships for which a connection's user no longer has a role. */
  userChanged(member: Member, formerRoles: readonly string[]): void {
    for (const channel of [...this.#memberships.topicsOf(member)]) {
      const { access } = channel.rules;
      if (!channel.members.has(member) || missingRoles(access, formerRoles) !== null) continue;
      const refusal = this.#host.access.refusal(member.peer, access, "subscribe", channel.name);
      if (refusal !== null) this.#leave(member, channel, refusal);
    }
  }

  /** Ends the memberships of a connection that is closing or has closed. */
  connectionEnded(member: Member): void {
    for (const channel of this.#memberships.takeAll(member)) {
      channel.leave(member, null);
      if (channel.owner === member) channel.owner = null;
      this.#dropUnused(channel);
    }
  }

  /** Cancels all timers when the server has stopped. */
  stopTimers(): void {
    for (const channel of this.#channels.values()) channel.stopTimers();
    this.#idle.dropAll();
  }

  // --- calls of clients ---------------------------------------------------------------------------------------------

  /** `$topic.subscribe` `{topic, since?, token?, presence?}`. */
  subscribe(params: Readonly<Record<string, unknown>>, connection: AnyConnection): null | Promise<null> {
    const { topic: name, since, token: given, presence } = params;
    const rules = this.rulesFor(name);
    const token = isCount(given) ? given : 0;
    const joining = { since: parsePosition(since), watchesPresence: presence !== false, token };
    const joined = this.admit(name as string, rules, connection, joining.since, (member, user) =>
      this.#join(member, name as string, rules, { ...joining, user }),
    );
    return this.#host.cluster === null ? joined : this.#whenReady(name as string, joined);
  }

  /** Waits until messages published by other nodes arrive as well. */
  async #whenReady(name: string, joined: null | Promise<null>): Promise<null> {
    await joined;
    await this.#host.cluster?.ready(name);
    return null;
  }

  /** Calls `authorize`, then `join`. */
  admit(
    name: string,
    rules: TopicRules,
    connection: AnyConnection,
    since: Position | null,
    join: (member: Member, user: string | null) => void,
  ): null | Promise<null> {
    const member = this.#mustBeMember(connection, name);
    this.#host.access.mustHave(connection, rules.access, "subscribe", name);
    this.#mustHaveRoom(member, name);
    const verdict = rules.authorize === null ? true : rules.authorize(connection, name);
    if (rules.isDurable) return this.#admitDurable(name, rules, member, since, verdict, join);
    if (isThenable(verdict)) {
      return this.#admitLater(name, rules, member, verdict, join);
    }
    join(member, userOf(verdict, name, member));
    return null;
  }

  /** Starts reading the log before the client joins. */
  async #admitDurable(
    name: string,
    rules: TopicRules,
    member: Member,
    since: Position | null,
    verdict: Awaitable<boolean | Admission>,
    join: (member: Member, user: string | null) => void,
  ): Promise<null> {
    const channel = this.#channels.get(name) ?? this.#open(name, rules);
    const opened = async (): Promise<boolean | Admission> => {
      const admission = await verdict;
      userOf(admission, name, member);
      await this.#host.cluster?.durable.open(channel, since);
      return admission;
    };
    this.#held.set(channel, (this.#held.get(channel) ?? 0) + 1);
    try {
      return await this.#admitLater(name, rules, member, opened(), join);
    } catch (error) {
      throw this.#asRpcError(error);
    } finally {
      const held = (this.#held.get(channel) ?? 1) - 1;
      if (held > 0) this.#held.set(channel, held);
      else this.#held.delete(channel);
      this.#dropUnused(channel);
    }
  }

  async #admitLater(
    name: string,
    rules: TopicRules,
    member: Member,
    verdict: PromiseLike<boolean | Admission>,
    join: (member: Member, user: string | null) => void,
  ): Promise<null> {
    const isStillWanted = this.#memberships.ask(member, name);
    let user: string | null;
    try {
      user = userOf(await verdict, name, member);
    } catch (error) {
      isStillWanted();
      throw error;
    }
    // The client may have unsubscribed in the meantime.
    if (!isStillWanted()) {
      throw new RpcError(ErrorCode.CANCELLED, `The subscription to '${name}' was cancelled`);
    }
    if (!member.isOpen)
      throw new RpcError(ErrorCode.CONNECTION_CLOSED, `Cannot subscribe to '${name}': the connection has closed`);
    this.#mustExist(rules);
    // Its user's roles may have changed.
    this.#host.access.mustHave(member.peer, rules.access, "subscribe", name);
    this.#mustHaveRoom(member, name);
    join(member, user);
    return null;
  }

  /** An existing member doesn't count twice. @throws RpcError TOO_MANY_SUBSCRIPTIONS */
  #mustHaveRoom(member: Member, name: string): void {
    if (this.channel(name)?.members.has(member) !== true) this.#memberships.mustHaveRoom(member, name);
  }

  /** `$topic.unsubscribe` `{topic}`. Does nothing if it isn't subscribed. */
  unsubscribe({ topic: name }: Readonly<Record<string, unknown>>, connection: AnyConnection): boolean {
    const member = this.#host.memberOf(connection);
    if (member === undefined || !isTopicName(name)) return false;
    this.#memberships.withdraw(member, name);
    const channel = this.#channels.get(name);
    return channel !== undefined && this.#leave(member, channel, null);
  }

  /** `$topic.publish` `{topic, data}`. */
  publishFrom(params: Readonly<Record<string, unknown>>, connection: AnyConnection): null | Promise<null> {
    const { topic: name, data = null } = params;
    const rules = this.rulesFor(name);
    this.#host.access.mustHave(connection, rules.access, "publish", name as string);
    const verdict = this.#mayPublish(name as string, rules, connection);
    if (isThenable(verdict)) {
      return this.#publishLater(name as string, rules, connection, verdict, data);
    }
    return this.#publishIfAllowed(name as string, rules, verdict, data);
  }

  async #publishLater(
    name: string,
    rules: TopicRules,
    connection: AnyConnection,
    verdict: PromiseLike<boolean>,
    data: unknown,
  ): Promise<null> {
    const isAllowed = await verdict;
    // Its user's roles may have changed.
    this.#host.access.mustHave(connection, rules.access, "publish", name);
    return this.#publishIfAllowed(name, rules, isAllowed, data);
  }

  #mayPublish(name: string, rules: TopicRules, connection: AnyConnection): Awaitable<boolean> {
    const { publish } = rules;
    if (publish === "subscribers") return this.has(name, rules, connection);
    return typeof publish === "function" ? publish(connection, name) : publish;
  }

  #publishIfAllowed(name: string, rules: TopicRules, isAllowed: boolean, data: unknown): null | Promise<null> {
    if (!verdictOf(isAllowed, `publish of topic '${name}'`)) throw mayNotPublish(name);
    this.#mustExist(rules);
    if (rules.isDurable) return this.#appendFrom(name, rules, data);
    try {
      this.#host.chargeDeliveries(this.publish(name, rules, data, null));
    } catch (error) {
      throw this.#asRpcError(error);
    }
    return null;
  }

  async #appendFrom(name: string, rules: TopicRules, data: unknown): Promise<null> {
    try {
      await this.append(name, rules, data, crypto.randomUUID());
    } catch (error) {
      throw this.#asRpcError(error);
    }
    return null;
  }

  /** Appends to a durable topic. Rejects with INVALID_STATE, UNSERIALIZABLE, MESSAGE_TOO_LARGE, CLUSTER_UNAVAILABLE, VALIDATION */
  async append(name: string, rules: TopicRules, data: unknown, id: string): Promise<string> {
    this.#mustExist(rules);
    const { cluster } = this.#host;
    if (cluster === null || !rules.isDurable) {
      const message = `Cannot append to '${name}': it isn't durable (the topic's option history.durable); use publish`;
      throw new ConduitError(ErrorCode.INVALID_STATE, message);
    }
    const channel = this.#channels.get(name) ?? new TopicChannel(this.#host, name, 0, rules);
    const encoded = this.#host.encodeData(name, channel.check(data));
    return formatPosition(await cluster.durable.append(name, channel.limits, id, encoded));
  }

  /** @throws ConduitError INVALID_STATE, UNSERIALIZABLE, MESSAGE_TOO_LARGE; RpcError VALIDATION */
  publish(name: string, rules: TopicRules, data: unknown, selection: Parameters<TopicChannel["publish"]>[1]): number {
    this.#mustExist(rules);
    const known = this.#channels.get(name);
    if (rules.isDurable && selection === null) {
      this.append(name, rules, data, crypto.randomUUID()).catch((error: unknown) =>
        this.#host.appendFailed(name, error),
      );
      return known?.members.size ?? 0;
    }
    // Without members and history, the topic doesn't have to be created.
    const channel = known ?? (rules.keep > 0 ? this.#open(name, rules) : new TopicChannel(this.#host, name, 0, rules));
    try {
      const checked = channel.check(data);
      const { cluster } = this.#host;
      if (cluster === null) return channel.publish(checked, selection);
      // Encoded once for local members and other nodes.
      const encoded = this.#host.encodeData(name, checked);
      cluster.mustFit(name, encoded);
      const reached = channel.publish(encoded, selection);
      cluster.publish(name, encoded, selection);
      return reached;
    } finally {
      // Even after invalid data, because each new name would leave a topic behind.
      this.#dropUnused(channel);
    }
  }

  // --- helpers ------------------------------------------------------------------------------------------------------

  #patternOf(name: string): TopicRules | undefined {
    for (const rules of this.#patterns.values()) if (fitsPattern(name, rules.name)) return rules;
    return undefined;
  }

  #mustExist(rules: TopicRules): void {
    const known = rules.isPattern ? this.#patterns : this.#named;
    if (known.get(rules.name) === rules) return;
    throw new RpcError(
      ErrorCode.INVALID_STATE,
      `Topic '${rules.name}' has ended: make it again by topic() or topics() of the server`,
    );
  }

  /**
   * Converts an error for a client's call. Errors caused by the client, and those it can retry after, are passed on;
   * internal errors of this server aren't.
   */
  #asRpcError(error: unknown): unknown {
    if (isInstance(error, RpcError) || !isInstance(error, ConduitError)) return error;
    const isForNow = error.code === ErrorCode.CLUSTER_UNAVAILABLE && this.#host.cluster?.durable.hasLeft !== true;
    return new RpcError(error.code, error.message, { details: isForNow ? { retry_after: 1 } : error.details });
  }

  #mustBeMember(connection: AnyConnection, name: string): Member {
    const member = this.#host.memberOf(connection);
    if (member === undefined) {
      throw new RpcError(ErrorCode.CONNECTION_CLOSED, `Cannot subscribe to '${name}': the connection has closed`);
    }
    if (!takesTopics(member)) {
      const message = `Cannot subscribe to '${name}': the client has no topics (it didn't offer the extension 'topic')`;
      throw new RpcError(ErrorCode.PEER_UNSUPPORTED, message);
    }
    return member;
  }

  #join(member: Member, name: string, rules: TopicRules, joining: Joining): void {
    const channel = this.#channels.get(name) ?? this.#open(name, rules);
    if (rules.isDurable && channel.position === null) {
      this.#dropUnused(channel);
      const message = `Cannot subscribe to '${name}': this node doesn't read its log; clients that ask for it can`;
      throw new RpcError(ErrorCode.CLUSTER_UNAVAILABLE, message);
    }
    this.#host.cluster?.open(channel);
    try {
      channel.join(member, joining);
    } catch (error) {
      this.#dropUnused(channel);
      throw error;
    }
    if (!channel.members.has(member)) return;
    this.#idle.delete(channel);
    this.#memberships.add(member, channel);
  }

  /**
   * Creates a topic of a pattern for a netconduit client. It exists until that client's connection ends, and longer
   * while it has members. Null if it already exists.
   * @throws RpcError NOT_FOUND, PERMISSION_DENIED (it may not publish there), TOO_MANY_SUBSCRIPTIONS
   */
  async create(name: unknown, connection: AnyConnection): Promise<TopicChannel | null> {
    const rules = this.rulesFor(name);
    const topic = name as string;
    this.#host.access.mustHave(connection, rules.access, "publish", topic);
    const isAllowed = await this.#mayPublish(topic, rules, connection);
    this.#host.access.mustHave(connection, rules.access, "publish", topic);
    if (!verdictOf(isAllowed, `publish of topic '${topic}'`)) throw mayNotPublish(topic);
    this.#mustExist(rules);
    if (this.#channels.has(topic)) return null;
    const member = this.#mustBeMember(connection, topic);
    this.#memberships.mustHaveRoom(member, topic);
    const channel = this.#open(topic, rules);
    channel.owner = member;
    this.#memberships.add(member, channel);
    return channel;
  }

  #leave(member: Member, channel: TopicChannel, reason: EndReason | null): boolean {
    const wasMember = channel.leave(member, reason);
    if (channel.owner !== member) this.#memberships.delete(member, channel);
    this.#dropUnused(channel);
    return wasMember;
  }

  #open(name: string, rules: TopicRules): TopicChannel {
    const channel = new TopicChannel(this.#host, name, this.#nextNumber++, rules);
    this.#channels.set(name, channel);
    // The history includes messages of all nodes.
    if (rules.keep > 0 && !rules.isDurable) this.#host.cluster?.open(channel);
    return channel;
  }

  #end(channel: TopicChannel, reason: EndReason): void {
    this.#forget(channel);
    for (const member of channel.end(reason)) this.#memberships.delete(member, channel);
    if (channel.owner !== null) this.#memberships.delete(channel.owner, channel);
  }

  /** Removes a topic of a pattern without members, immediately or once its messages are too old. */
  #dropUnused(channel: TopicChannel): void {
    if (channel.members.size > 0 || this.#held.has(channel)) return;
    const { isDurable, keep, isPattern } = channel.rules;
    if (isDurable || keep === 0) this.#host.cluster?.close(channel);
    if (isDurable) this.#stopReading(channel);
    if (!isPattern || channel.owner !== null) return;
    if (isDurable || !channel.isKept) {
      this.#forget(channel);
      return;
    }
    this.#idle.add(channel);
  }

  #stopReading(channel: TopicChannel): void {
    this.#host.cluster?.durable.close(channel);
    channel.logClosed();
  }

  #forget(channel: TopicChannel): void {
    this.#idle.delete(channel);
    this.#host.cluster?.close(channel);
    if (channel.rules.isDurable) this.#stopReading(channel);
    channel.stopTimers();
    channel.forgetMessages();
    if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name);
  }
}

/** @throws ConduitError INVALID_CONFIG */
function mustBeConnection(connection: unknown, problem: string): void {
  if (isInstance(connection, Connection)) return;
  const message = `${problem}: give it one of server.connections, got ${describeValue(connection)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** @throws RpcError PERMISSION_DENIED */
function userOf(verdict: boolean | Admission, name: string, member: Member): string | null {
  if (verdict === false || verdict === null || verdict === undefined) {
    throw new RpcError(ErrorCode.PERMISSION_DENIED, `Permission denied: this client may not subscribe to '${name}'`);
  }
  if (verdict === true) return checkedUser(undefined, member);
  if (typeof verdict === "object" && Object.keys(verdict).every((name) => name === "user")) {
    return checkedUser(verdict.user, member);
  }
  const message = `authorize must return true, false or { user } for topic '${name}', got ${describeValue(verdict)}`;
  throw new ConduitError(ErrorCode.INVALID_RESULT, message);
}

/** The user named by the application, or the logged-in user by default. @throws ConduitError INVALID_CONFIG */
function checkedUser(user: unknown, { peer }: Member): string | null {
  if (user === undefined) return peer.user.name === "" ? null : peer.user.name;
  if (user === null) return null;
  if (typeof user === "string" && user.length <= MAX_PRESENCE_CHARS) return user;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `user must be a string of at most ${MAX_PRESENCE_CHARS} characters`);
}

function mayNotPublish(name: string): RpcError {
  return new RpcError(ErrorCode.PERMISSION_DENIED, `Permission denied: this client may not publish to '${name}'`);
}

function ended(name: string): EndReason {
  return { code: ErrorCode.CANCELLED, message: `The server ended the topic '${name}'` };
}
