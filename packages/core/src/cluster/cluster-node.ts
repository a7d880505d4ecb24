/**
 * A server as a node of a cluster: its link, who else is there, what it sends to the others and does for them.
 *
 * The server is asked for what concerns its own connections (`LocalNode`), the driver carries bytes (`ClusterLink`). What other
 * nodes send is checked here: an unknown version or kind is counted and dropped, as is what can't be read or comes from a
 * run of a node that is over.
 */

import type { RuntimeContext } from "../context/runtime-context.ts";
import { HookList } from "../endpoint/hook-list.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import { asConduitError, ConduitError, ErrorCode, isInstance, RpcError } from "../errors.ts";
import { toHex } from "../util/hex.ts";
import { isMap } from "../util/is-map.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type {
  Cluster,
  ClusterAnswer,
  ClusterLoss,
  ClusterNodeInfo,
  ClusterStateChange,
  ClusterStats,
  ConnectionDescription,
  ConnectionPage,
} from "./cluster.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { ClusterTopics } from "./cluster-topics.ts";
import { type ConnectionFilter, readFilter } from "./connection-filter.ts";
import type { ClusterAddress, ClusterDriver, ClusterLink, ClusterState, PublishResult } from "./driver.ts";
import { DurableTopics } from "./durable-topics.ts";
import {
  decodeEnvelope,
  type Envelope,
  type EnvelopeHead,
  EnvelopeKind,
  encodeEnvelope,
  malformed,
  type NodeIdentity,
} from "./envelope.ts";
import { type Heartbeat, Membership, type Node, type NodeEnd } from "./membership.ts";
import { type NodeAnswer, type NodeAnswers, NodeRequests } from "./node-requests.ts";
import { UserInterest } from "./user-interest.ts";

/** Recipients of a broadcast, as data. */
export interface Recipients {
  readonly exclude: ReadonlySet<string> | null;
  readonly include: ReadonlySet<string> | null;
  readonly where: ConnectionFilter | null;
}

/** A connection of this node, as calls from other nodes use it. */
export interface LocalConnection {
  sendMessage(type: string, data: unknown, options?: { readonly meta?: Metadata | undefined }): boolean;
  callNoWait(method: string, params: unknown, options?: { readonly meta?: Metadata | undefined }): boolean;
  call(method: string, params: unknown, options: LocalCallOptions, validator: null): Promise<unknown>;
  request(type: string, data: unknown, options: LocalCallOptions, validator: null): Promise<unknown>;
}

interface LocalCallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly meta: Metadata | undefined;
}

/** What a server does for its cluster. */
export interface LocalNode {
  readonly context: RuntimeContext;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly connectionCount: number;
  /** A logged-in connection. */
  connection(id: string): LocalConnection | undefined;
  /** Sends a message to those that are selected. Returns their number. */
  broadcast(type: string, data: EncodedValue, recipients: Recipients): number;
  count(where: ConnectionFilter | null): number;
  /** The first of those behind this id, by id. */
  describe(where: ConnectionFilter | null, after: string, limit: number): ConnectionDescription[];
  /** Ends a user's connections, and doesn't let it in again. Returns their number. */
  revoke(user: string): number;
  report(error: unknown): void;
  hookFailed(name: string, error: unknown): void;
}

/** How another node's connection is called. */
export interface RemoteCall {
  /** Of the connection. */
  readonly to: string;
  readonly what: "call" | "request";
  readonly name: string;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly meta: Metadata | undefined;
}

const EPOCH_BYTES = 6;
const NODE_ID_BYTES = 8;
const LOSS_WINDOW_MS = 1000;
const MAX_PAGE = 1000;
const NO_TEXT = "";

export class ClusterNode implements Cluster {
  readonly config: ClusterConfig;
  readonly topics: ClusterTopics;
  readonly users: UserInterest;
  readonly #driver: ClusterDriver;
  readonly #local: LocalNode;
  readonly #requests: NodeRequests;
  readonly #stateHooks = new HookList<[change: ClusterStateChange]>();
  readonly #joinedHooks = new HookList<[node: ClusterNodeInfo]>();
  readonly #leftHooks = new HookList<[node: ClusterNodeInfo, why: NodeEnd]>();
  readonly #lossHooks = new HookList<[loss: ClusterLoss]>();
  readonly #losses = new ReportWindows<ClusterLoss>(LOSS_WINDOW_MS);
  /** Calls from other nodes that run here, by epoch and id. */
  readonly #running = new Map<string, AbortController>();
  readonly #counts = { refused: 0, lostSent: 0, lostReceived: 0, unknown: 0, malformed: 0, stale: 0 };
  #identity: NodeIdentity & { readonly startedAt: number };
  #membership: Membership;
  #link: ClusterLink | null = null;
  #state: ClusterState = "disconnected";
  /** Identifies the current start; null while stopped. */
  #run: object | null = null;
  #beats = 0;

  constructor(driver: ClusterDriver, config: ClusterConfig, local: LocalNode) {
    this.#driver = driver;
    this.config = config;
    this.#local = local;
    const { wheel } = local.context;
    this.#requests = new NodeRequests(wheel);
    this.#identity = { id: config.nodeId ?? NO_TEXT, epoch: NO_TEXT, startedAt: 0 };
    this.#membership = this.#newMembership();
    const subscribe = (address: ClusterAddress) =>
      this.#link?.subscribe(address, (payload) => this.#received(payload)) ?? null;
    this.users = new UserInterest(subscribe);
    this.topics = new ClusterTopics(
      {
        wheel,
        subscribe,
        publish: (address, kind, head, body, isCounted) => this.#publish(address, kind, head, body, isCounted),
        mustFit: (name, body) => this.mustFit(name, body),
        node: (id) => this.#membership.nodes.get(id),
        missed: (topic, node, count) => this.#lost({ direction: "received", count, reason: "gap", node, topic }),
      },
      this.#newDurableTopics(),
    );
  }

  #newDurableTopics(): DurableTopics {
    const { writer, reader } = this.#local;
    return new DurableTopics({
      answerTimeoutMs: this.config.answerTimeoutMs,
      link: () => this.#link,
      encode: (body) => encodeEnvelope(writer, this.#identity, EnvelopeKind.LOG_ENTRY, {}, body),
      decode: (payload) => {
        const envelope = decodeEnvelope(reader, payload);
        if (typeof envelope !== "string" && envelope.kind === EnvelopeKind.LOG_ENTRY) {
          return new EncodedValue(envelope.body);
        }
        this.#countUnread(envelope === "malformed" ? "malformed" : "unknown");
        return null;
      },
    });
  }

  #countUnread(what: "malformed" | "unknown"): void {
    this.#counts[what] += 1;
  }

  // --- Cluster ------------------------------------------------------------------------------------------------------

  get nodeId(): string {
    return this.#identity.id;
  }

  get epoch(): string {
    return this.#identity.epoch;
  }

  get state(): ClusterState {
    return this.#state;
  }

  get nodes(): ClusterNodeInfo[] {
    const self = { ...this.#identity, connections: this.#local.connectionCount, isSelf: true };
    return [self, ...Array.from(this.#membership.nodes.values(), infoOf)];
  }

  get stats(): ClusterStats {
    const { sentMessages = 0, sentBytes = 0, receivedMessages = 0, receivedBytes = 0 } = this.#link?.stats ?? {};
    return { sentMessages, sentBytes, receivedMessages, receivedBytes, ...this.#counts, topics: this.topics.size };
  }

  onStateChange(hook: (change: ClusterStateChange) => unknown): Disposer {
    return this.#stateHooks.add(hook);
  }

  onNodeJoined(hook: (node: ClusterNodeInfo) => unknown): Disposer {
    return this.#joinedHooks.add(hook);
  }

  onNodeLeft(hook: (node: ClusterNodeInfo, why: NodeEnd) => unknown): Disposer {
    return this.#leftHooks.add(hook);
  }

  onLoss(hook: (loss: ClusterLoss) => unknown): Disposer {
    return this.#lossHooks.add(hook);
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /** Connects, or begins to. @throws ConduitError as the driver does */
  async start(): Promise<void> {
    await this.stop();
    const { runtime } = this.#local.context;
    const run = {};
    this.#run = run;
    this.#beats = 0;
    const id = this.config.nodeId ?? toHex(runtime.crypto.randomBytes(NODE_ID_BYTES));
    const epoch = toHex(runtime.crypto.randomBytes(EPOCH_BYTES));
    this.#identity = { id, epoch, startedAt: runtime.wallClock() };
    this.#membership = this.#newMembership();
    this.#setState("connecting", null);
    let link: ClusterLink;
    try {
      link = await this.#driver.start({
        nodeId: id,
        clock: runtime,
        stateChanged: (state, reason) => {
          if (this.#run === run) this.#stateChanged(state, reason);
        },
        messagesLost: (direction, count) => {
          if (this.#run === run) this.#driverLost(direction, count);
        },
      });
    } catch (error) {
      if (this.#run === run) this.#over(asConduitError(error));
      throw error;
    }
    if (this.#run !== run) {
      await link.close();
      return;
    }
    this.#link = link;
    for (const address of [ALL, { kind: "node", name: id }] as const) {
      link.subscribe(address, (payload) => this.#received(payload));
    }
    this.users.start();
    this.topics.start();
    this.#membership.start();
    this.#setState(link.state, null);
    this.#hello();
  }

  /** Leaves the cluster. Never rejects. */
  async stop(): Promise<void> {
    const link = this.#link;
    if (this.#run === null) return;
    this.#publish(ALL, EnvelopeKind.LEAVE, {});
    this.#over(null);
    await link?.close();
  }

  /** The current run ends. */
  #over(reason: ConduitError | null): void {
    this.#run = null;
    this.#link = null;
    this.#membership.stop();
    this.topics.stop();
    this.users.stop();
    for (const node of this.#membership.nodes.values()) this.#requests.nodeGone(node);
    for (const controller of this.#running.values()) controller.abort();
    this.#running.clear();
    this.#setState("disconnected", reason);
    for (const { report, count } of this.#losses.end()) this.#tellLoss({ ...report, count });
  }

  #newMembership(): Membership {
    const { wheel, runtime } = this.#local.context;
    const { heartbeatMs, nodeTimeoutMs } = this.config;
    return new Membership(
      {
        wheel,
        heartbeatMs,
        nodeTimeoutMs,
        now: () => runtime.now(),
        beat: () => {
          this.#beats += 1;
          this.#beat(ALL, this.#beats, false);
        },
        joined: (node) => {
          this.topics.meet(node);
          this.#joinedHooks.notify((error) => this.#local.hookFailed("onNodeJoined", error), infoOf(node));
        },
        gone: (node, why) => {
          this.#requests.nodeGone(node);
          this.topics.gone(node);
          this.#leftHooks.notify((error) => this.#local.hookFailed("onNodeLeft", error), infoOf(node), why);
        },
        missedFrom: (node) => {
          this.topics.interrupted();
          this.topics.meet(node);
        },
        replaced: () => {
          const link = this.#link;
          const message = `Another node has started with the id '${this.nodeId}': this one has left the cluster`;
          const error = new ConduitError(ErrorCode.NODE_REPLACED, message);
          this.#over(error);
          this.#local.report(error);
          void link?.close();
        },
      },
      this.#identity,
    );
  }

  #hello(): void {
    this.#beats += 1;
    this.#beat(ALL, this.#beats, true);
  }

  /** @param asks whether the others are asked to say that they are alive, too */
  #beat(to: ClusterAddress, sequence: number, asks: boolean): void {
    const { startedAt } = this.#identity;
    const head = { at: startedAt, c: this.#local.connectionCount, i: sequence, ...(asks ? { hello: true } : {}) };
    this.#publish(to, EnvelopeKind.HEARTBEAT, head);
  }

  #stateChanged(state: ClusterState, reason: ConduitError | null): void {
    // Until start() has the link, it says how it is.
    if (this.#link === null) return;
    if (state === this.#state) {
      if (reason !== null) this.#local.report(reason);
      return;
    }
    this.#setState(state, reason);
    if (state === "disconnected") {
      this.#over(reason);
      return;
    }
    if (state !== "connected") return;
    this.#hello();
    this.topics.interrupted();
    this.topics.reconnected();
  }

  #setState(to: ClusterState, reason: ConduitError | null): void {
    const from = this.#state;
    if (from === to) return;
    this.#state = to;
    this.#stateHooks.notify((error) => this.#local.hookFailed("onStateChange", error), { from, to, reason });
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** @param isCounted whether it is a message of the application, whose loss counts */
  #publish(
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body?: Uint8Array,
    isCounted = false,
  ): PublishResult {
    const link = this.#link;
    const result =
      link === null || link.state !== "connected"
        ? "disconnected"
        : link.publish(address, encodeEnvelope(this.#local.writer, this.#identity, kind, head, body));
    if (result !== "sent" && isCounted) {
      this.#counts.refused += 1;
      this.#lost({ direction: "sent", count: 1, reason: result });
    }
    return result;
  }

  /** A message of the application that must not be lost in silence. @throws ConduitError CLUSTER_UNAVAILABLE, MESSAGE_TOO_LARGE */
  #mustPublish(
    name: string,
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body: Uint8Array,
  ): void {
    this.mustFit(name, body);
    const result = this.#publish(address, kind, head, body);
    if (result === "sent") return;
    if (result === "too-large") this.#tooLarge(name, body.length);
    this.#counts.refused += 1;
    const why = result === "disconnected" ? `the link is ${this.#state}` : `the link is ${result}`;
    throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `Cannot send '${name}' to another node: ${why}`);
  }

  /** @throws ConduitError MESSAGE_TOO_LARGE if the link takes no message of this size */
  mustFit(name: string, body: Uint8Array): void {
    const limit = this.#link?.maxPayloadBytes ?? Number.POSITIVE_INFINITY;
    if (body.length + HEAD_RESERVE_BYTES > limit) this.#tooLarge(name, body.length);
  }

  #tooLarge(name: string, bytes: number): never {
    const limit = this.#link?.maxPayloadBytes ?? 0;
    const message = `Cannot send '${name}' to other nodes: its ${bytes} bytes and a head exceed the ${limit} that the link takes`;
    throw new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, { details: { bytes, limit } });
  }

  /** Sends a broadcast to the other nodes. */
  broadcast(type: string, data: EncodedValue, { exclude, include, where }: Recipients): void {
    const head = { type, ...(where === null ? {} : { where }), ...(exclude === null ? {} : { exclude: [...exclude] }) };
    if (include === null) {
      this.#publish(addressFor(where), EnvelopeKind.BROADCAST, head, data.bytes, true);
      return;
    }
    const byNode = new Map<Node, string[]>();
    for (const id of include) {
      const node = this.#nodeOf(id);
      if (node !== undefined) byNode.set(node, [...(byNode.get(node) ?? []), id]);
    }
    for (const [node, ids] of byNode) {
      const address = { kind: "node", name: node.id } as const;
      this.#publish(address, EnvelopeKind.BROADCAST, { ...head, include: ids }, data.bytes, true);
    }
  }

  /** Sends a message to the connections of a user on other nodes. */
  sendToUser(user: string, type: string, data: EncodedValue): void {
    this.#publish({ kind: "user", name: user }, EnvelopeKind.BROADCAST, { type, where: { user } }, data.bytes, true);
  }

  /**
   * Sends a message to a connection on another node, or calls a method without waiting for its answer.
   * @throws ConduitError CONNECTION_CLOSED, CLUSTER_UNAVAILABLE, MESSAGE_TOO_LARGE
   */
  sendTo(to: string, what: "send" | "callNoWait", name: string, body: Uint8Array, meta: Metadata | undefined): void {
    const { id } = this.#mustKnow(to, name);
    const head = { to, what, name, ...(meta === undefined ? {} : { meta }) };
    this.#mustPublish(name, { kind: "node", name: id }, EnvelopeKind.MESSAGE, head, body);
  }

  /**
   * Calls a connection on another node. Rejects with what its node's call rejects with, NODE_UNAVAILABLE, CLUSTER_UNAVAILABLE,
   * CONNECTION_CLOSED, TIMEOUT, CANCELLED or MESSAGE_TOO_LARGE.
   */
  async call({ to, what, name, body, timeoutMs, signal, meta }: RemoteCall): Promise<unknown> {
    const node = this.#mustKnow(to, name);
    const address = { kind: "node", name: node.id } as const;
    const options = {
      name,
      timeoutMs,
      signal,
      cancel: (id: number) => void this.#publish(address, EnvelopeKind.CANCEL, { id }),
    };
    return this.#requests.call(node, options, (id) => {
      const head = { id, to, what, name, ms: timeoutMs, ...(meta === undefined ? {} : { meta }) };
      this.#mustPublish(name, address, EnvelopeKind.CALL, head, body);
    });
  }

  /** The node that a connection's id was made on. */
  #nodeOf(connection: string): Node | undefined {
    const epoch = epochIn(connection);
    return epoch === null ? undefined : this.#membership.byEpoch(epoch);
  }

  /** @throws ConduitError CONNECTION_CLOSED, CLUSTER_UNAVAILABLE */
  #mustKnow(connection: string, name: string): Node {
    const node = this.#nodeOf(connection);
    if (node !== undefined) return node;
    if (this.#state !== "connected") {
      const message = `Cannot send '${name}': the connection isn't on this node, and the link is ${this.#state}`;
      throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, message);
    }
    throw noConnection(connection, name);
  }

  // --- questions ----------------------------------------------------------------------------------------------------

  /** Asks all other nodes. */
  async askAll(question: string, params: Readonly<Record<string, unknown>>): Promise<NodeAnswers & ClusterAnswer> {
    const nodes = [...this.#membership.nodes.values()];
    const send = (id: number): boolean =>
      this.#publish(ALL, EnvelopeKind.QUESTION, { id, question, params }) === "sent";
    const answers = await this.#requests.ask(nodes, this.config.answerTimeoutMs, send);
    return { ...answers, isAlone: this.#state !== "connected" };
  }

  /** A page of connections, node after node in the order of their ids. */
  async page(where: ConnectionFilter | null, limit: number, after: string): Promise<ConnectionPage> {
    const [afterNode, afterConnection] = readCursor(after);
    const nodes = this.nodes.map(({ id }) => id).sort();
    const missing: string[] = [];
    const connections: ConnectionDescription[] = [];
    for (const id of nodes) {
      if (id < afterNode) continue;
      if (connections.length === limit) break;
      const from = id === afterNode ? afterConnection : NO_TEXT;
      const part = await this.#describe(id, where, from, limit - connections.length);
      if (part === null) missing.push(id);
      else connections.push(...part);
    }
    const last = connections.at(-1);
    const next = connections.length < limit || last === undefined ? null : `${last.node}/${last.id}`;
    return { connections, next, missing, isAlone: this.#state !== "connected" };
  }

  /** Null if the node doesn't answer. */
  async #describe(
    nodeId: string,
    where: ConnectionFilter | null,
    after: string,
    limit: number,
  ): Promise<ConnectionDescription[] | null> {
    if (nodeId === this.nodeId) return this.#local.describe(where, after, limit);
    const node = this.#membership.nodes.get(nodeId);
    if (node === undefined) return [];
    const params = { where, after, limit };
    const { answers } = await this.#requests.ask([node], this.config.answerTimeoutMs, (id) => {
      const address = { kind: "node", name: nodeId } as const;
      return this.#publish(address, EnvelopeKind.QUESTION, { id, question: "connections", params }) === "sent";
    });
    const answer = answers.get(nodeId);
    if (!Array.isArray(answer)) return null;
    return answer.filter(isMap).map((one) => descriptionOf(one, nodeId));
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  #received(payload: Uint8Array): void {
    const envelope = decodeEnvelope(this.#local.reader, payload);
    if (typeof envelope === "string") {
      this.#countUnread(envelope === "malformed" ? "malformed" : "unknown");
      return;
    }
    try {
      this.#handle(envelope);
    } catch (error) {
      if (isInstance(error, ConduitError) && error.code === ErrorCode.MALFORMED_PAYLOAD) this.#counts.malformed += 1;
      else this.#local.report(error);
    }
  }

  /** @throws ConduitError MALFORMED_PAYLOAD, and what handlers throw */
  #handle(envelope: Envelope): void {
    const { kind, from, head, body } = envelope;
    if (this.#run === null) return;
    if (kind === EnvelopeKind.HEARTBEAT) {
      this.#membership.heard(from, heartbeatIn(head));
      if (head.raw("hello") === true && from.epoch !== this.epoch)
        this.#beat({ kind: "node", name: from.id }, 0, false);
      return;
    }
    if (!this.#membership.isCurrent(from)) {
      this.#counts.stale += 1;
      return;
    }
    switch (kind) {
      case EnvelopeKind.LEAVE:
        this.#membership.left(from);
        return;
      case EnvelopeKind.BROADCAST: {
        const [exclude, include] = [head.texts("exclude"), head.texts("include")];
        this.#local.broadcast(nameIn(head, "type"), new EncodedValue(body), {
          exclude: exclude === null ? null : new Set(exclude),
          include: include === null ? null : new Set(include),
          where: readFilter(head.raw("where")),
        });
        return;
      }
      case EnvelopeKind.MESSAGE:
        this.#deliver(head, body);
        return;
      case EnvelopeKind.CALL:
        void this.#runCall(from, head, body);
        return;
      case EnvelopeKind.CANCEL:
        this.#running.get(`${from.epoch}/${head.count("id")}`)?.abort();
        return;
      case EnvelopeKind.QUESTION:
        this.#answer(from, head.count("id"), this.#answerTo(head.text("question"), head.raw("params")));
        return;
      case EnvelopeKind.ANSWER:
        this.#requests.answered(head.count("id"), from, this.#answerIn(head, body));
        return;
      default:
        this.topics.received(envelope);
    }
  }

  /** A message for a connection here. One that has gone meanwhile, or can't take it, misses it. */
  #deliver(head: EnvelopeHead, body: Uint8Array): void {
    const connection = this.#local.connection(head.text("to"));
    const name = nameIn(head, "name");
    const options = { meta: head.raw("meta") as Metadata | undefined };
    if (connection === undefined) return;
    if (head.text("what") === "callNoWait") connection.callNoWait(name, new EncodedValue(body), options);
    else connection.sendMessage(name, new EncodedValue(body), options);
  }

  async #runCall(from: NodeIdentity, head: EnvelopeHead, body: Uint8Array): Promise<void> {
    const controller = new AbortController();
    let id = 0;
    let key = NO_TEXT;
    try {
      id = head.count("id");
      key = `${from.epoch}/${id}`;
      const [to, name] = [head.text("to"), nameIn(head, "name")];
      const connection = this.#local.connection(to);
      if (connection === undefined) throw noConnection(to, name);
      this.#running.set(key, controller);
      const meta = head.raw("meta") as Metadata | undefined;
      const options = { timeoutMs: head.count("ms"), signal: controller.signal, meta };
      const value = new EncodedValue(body);
      const result = await (head.text("what") === "call"
        ? connection.call(name, value, options, null)
        : connection.request(name, value, options, null));
      if (this.#running.get(key) === controller) this.#answer(from, id, { value: result });
    } catch (error) {
      if (id > 0 && !controller.signal.aborted) this.#answer(from, id, { error: asConduitError(error) });
    } finally {
      if (this.#running.get(key) === controller) this.#running.delete(key);
    }
  }

  /** Answers another node. What can't be sent is answered by its error. */
  #answer(to: NodeIdentity, id: number, answer: NodeAnswer): void {
    const address = { kind: "node", name: to.id } as const;
    if ("error" in answer) {
      const { code, message, details } = answer.error;
      const isRpc = isInstance(answer.error, RpcError);
      const error = { code, message, ...(details === undefined ? {} : { details }), ...(isRpc ? { rpc: true } : {}) };
      this.#publish(address, EnvelopeKind.ANSWER, { id, error });
      return;
    }
    try {
      const { bytes } = this.#local.writer.encodeData("answer", answer.value);
      this.mustFit("the answer", bytes);
      this.#publish(address, EnvelopeKind.ANSWER, { id }, bytes);
    } catch (error) {
      this.#answer(to, id, { error: asConduitError(error) });
    }
  }

  /** @throws ConduitError MALFORMED_PAYLOAD */
  #answerIn(head: EnvelopeHead, body: Uint8Array): NodeAnswer {
    const error = head.raw("error");
    if (error === undefined) {
      const { reader } = this.#local;
      const value = reader.readItem(body, 0, body.length);
      if (reader.itemEnd !== body.length) throw malformed("body", "one value");
      return { value };
    }
    if (!isMap(error)) throw malformed("error", "a map");
    const { code, message, details, rpc } = error;
    const Class = rpc === true ? RpcError : ConduitError;
    const known = Number.isSafeInteger(code) ? (code as number) : ErrorCode.UNKNOWN;
    const text = typeof message === "string" ? message : NO_TEXT;
    return { error: new Class(known, text, isMap(details) ? { details } : {}) };
  }

  /** A question of another node. */
  #answerTo(question: string, params: unknown): NodeAnswer {
    const given = isMap(params) ? params : {};
    try {
      switch (question) {
        case "count":
          return { value: this.#local.count(readFilter(given["where"])) };
        case "connections": {
          const { after, limit } = given;
          const size = Number.isSafeInteger(limit) ? Math.min(limit as number, MAX_PAGE) : MAX_PAGE;
          const from = typeof after === "string" ? after : NO_TEXT;
          return { value: this.#local.describe(readFilter(given["where"]), from, size) };
        }
        case "revoke":
          return { value: typeof given["user"] === "string" ? this.#local.revoke(given["user"]) : 0 };
        default:
          throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, `This node doesn't know the question '${question}'`);
      }
    } catch (error) {
      return { error: asConduitError(error) };
    }
  }

  // --- losses -------------------------------------------------------------------------------------------------------

  #driverLost(direction: "sent" | "received", count: number): void {
    this.#lost({ direction, count, reason: "dropped" });
    if (direction === "sent") {
      this.#counts.lostSent += count;
      this.topics.mayBeBehind();
      return;
    }
    this.topics.interrupted();
    for (const node of this.#membership.nodes.values()) this.topics.meet(node);
  }

  #lost(loss: ClusterLoss): void {
    if (loss.direction === "received") this.#counts.lostReceived += loss.count;
    const kind = `${loss.direction} ${loss.reason}`;
    const count = this.#losses.add(kind, loss, this.#local.context.runtime.now(), Math.max(1, loss.count));
    if (count > 0) this.#tellLoss({ ...loss, count: loss.count === 0 ? 0 : count });
  }

  #tellLoss(loss: ClusterLoss): void {
    this.#lossHooks.notify((error) => this.#local.hookFailed("onLoss", error), loss);
  }
}

const ALL: ClusterAddress = { kind: "all", name: NO_TEXT };
/** Room for the head of a message whose body is checked before. */
const HEAD_RESERVE_BYTES = 1024;

/** Hexadecimal digits of a connection's id that are its node's epoch: two blocks of the UUID. */
const EPOCH_IN_ID = /^([0-9a-f]{8})-([0-9a-f]{4})-/;

/** The epoch of the node that made the id; null if it is no connection's id. */
function epochIn(connection: string): string | null {
  const match = EPOCH_IN_ID.exec(connection);
  return match === null ? null : `${match[1]}${match[2]}`;
}

/** An id for a connection of the run with this epoch: a UUID that begins with it. */
export function connectionIdIn(epoch: string): string {
  const uuid = crypto.randomUUID();
  // Joined: a string that was added up keeps its parts.
  return [epoch.slice(0, 8), epoch.slice(8), `8${uuid.slice(15, 18)}`, uuid.slice(19, 23), uuid.slice(24)].join("-");
}

/** Only nodes that have such connections need to hear of it. */
function addressFor(where: ConnectionFilter | null): ClusterAddress {
  if (typeof where?.topic === "string") return { kind: "topic", name: where.topic };
  if (typeof where?.user === "string" && where.user !== NO_TEXT) return { kind: "user", name: where.user };
  return ALL;
}

function infoOf({ id, epoch, startedAt, connections }: Node): ClusterNodeInfo {
  return { id, epoch, startedAt, connections, isSelf: false };
}

/** @throws ConduitError MALFORMED_PAYLOAD */
function heartbeatIn(head: EnvelopeHead): Heartbeat {
  return { startedAt: head.count("at"), connections: head.count("c"), sequence: head.count("i") };
}

/** The type of a message or name of a method: any text. @throws ConduitError MALFORMED_PAYLOAD */
function nameIn(head: EnvelopeHead, key: string): string {
  const name = head.raw(key);
  if (typeof name === "string") return name;
  throw malformed(key, "a text");
}

function noConnection(id: string, name: string): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${name}': no node has a connection ${id}`);
}

function readCursor(after: string): readonly [node: string, connection: string] {
  const slash = after.indexOf("/");
  return slash < 0 ? [NO_TEXT, NO_TEXT] : [after.slice(0, slash), after.slice(slash + 1)];
}

function descriptionOf(map: Record<string, unknown>, node: string): ConnectionDescription {
  const { id, user, roles, connectedAt, address } = map;
  const text = (value: unknown): string => (typeof value === "string" ? value : NO_TEXT);
  return {
    id: text(id),
    node,
    user: text(user),
    roles: Array.isArray(roles) ? roles.filter((role) => typeof role === "string") : [],
    connectedAt: typeof connectedAt === "number" ? connectedAt : 0,
    address: text(address),
  };
}
