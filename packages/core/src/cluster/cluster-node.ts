/**
 * A server as a node of a cluster: owns the link, tracks the other nodes, sends messages to them and handles theirs.
 *
 * Operations on local connections go through `LocalNode`; the driver carries bytes (`ClusterLink`). Messages from
 * other nodes are validated here. Those with an unknown version or kind, those that can't be decoded, and those from
 * an ended run of a node are counted and dropped.
 */

import { HookList } from "../endpoint/hook-list.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import { asConduitError, ConduitError, ErrorCode, isInstance } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { toHex } from "../util/hex.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { withDeadline } from "../util/time.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import type { Cluster, ClusterLoss, ClusterNodeInfo, ClusterStateChange, ClusterStats } from "./cluster.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { ClusterLosses } from "./cluster-losses.ts";
import { ClusterTopics } from "./cluster-topics.ts";
import { type ConnectionFilter, readFilter } from "./connection-filter.ts";
import { epochIn } from "./connection-ids.ts";
import {
  type ClusterAddress,
  type ClusterDriver,
  type ClusterLink,
  type ClusterRecords,
  type ClusterState,
  isAddressName,
  type PublishResult,
} from "./driver.ts";
import { DurableTopics } from "./durable-topics.ts";
import {
  decodeEnvelope,
  type Envelope,
  type EnvelopeHead,
  EnvelopeKind,
  encodeEnvelope,
  type NodeIdentity,
} from "./envelope.ts";
import { LinkWaits } from "./link-waits.ts";
import type { LocalNode, Recipients } from "./local-node.ts";
import { type Heartbeat, Membership, type Node, type NodeEnd } from "./membership.ts";
import { NodeCalls, type NodeCallsHost, nameIn, noConnection } from "./node-calls.ts";
import { NodeQuestions } from "./node-questions.ts";
import { NodeRequests } from "./node-requests.ts";
import { UserInterest } from "./user-interest.ts";

const EPOCH_BYTES = 6;
const NODE_ID_BYTES = 8;
/** A driver should close its link in half this time. */
const CLOSE_TIMEOUT_MS = 10_000;

export class ClusterNode implements Cluster {
  readonly config: ClusterConfig;
  readonly topics: ClusterTopics;
  readonly users: UserInterest;
  readonly calls: NodeCalls;
  readonly questions: NodeQuestions;
  readonly #driver: ClusterDriver;
  readonly #local: LocalNode;
  readonly #requests: NodeRequests;
  readonly #stateHooks = new HookList<[change: ClusterStateChange]>();
  readonly #joinedHooks = new HookList<[node: ClusterNodeInfo]>();
  readonly #leftHooks = new HookList<[node: ClusterNodeInfo, why: NodeEnd]>();
  readonly #losses: ClusterLosses;
  /** Merges reports of failed messages and link faults by error code. */
  readonly #failures = new ReportWindows<unknown>(REPORT_WINDOW_MS);
  readonly #counts = { refused: 0, unknown: 0, malformed: 0, stale: 0 };
  #identity: NodeIdentity & { readonly startedAt: number };
  #membership: Membership;
  #link: ClusterLink | null = null;
  readonly linkWaits: LinkWaits = new LinkWaits();
  #state: ClusterState = "disconnected";
  /** Identifies the current start; null while stopped. */
  #run: object | null = null;
  #heartbeats = 0;
  /** The time by which every live node has answered or sent a heartbeat. */
  #hasMetAtMs = 0;

  constructor(driver: ClusterDriver, config: ClusterConfig, local: LocalNode) {
    this.#driver = driver;
    this.config = config;
    this.#local = local;
    const { wheel, runtime } = local.context;
    this.#requests = new NodeRequests(wheel, () => runtime.now());
    this.#losses = new ClusterLosses({
      now: () => runtime.now(),
      hookFailed: (error) => local.hookFailed("onLoss", error),
    });
    this.#identity = { id: config.nodeId ?? "", epoch: "", link: 0, startedAt: 0 };
    this.#membership = this.#newMembership();
    const subscribe = (address: ClusterAddress) =>
      this.#link?.subscribe(address, (payload) => this.#received(payload)) ?? null;
    this.users = new UserInterest(subscribe);
    const publish: NodeCallsHost["publish"] = (address, kind, head, body) => this.#publish(address, kind, head, body);
    this.calls = new NodeCalls({
      local,
      requests: this.#requests,
      publish,
      mustPublish: (name, address, kind, head, body) => this.#mustPublish(name, address, kind, head, body),
      mustFit: (name, body) => this.mustFit(name, body),
    });
    this.questions = this.#newQuestions();
    this.topics = new ClusterTopics(
      {
        wheel,
        subscribe,
        publish: (address, kind, head, body, isCounted) =>
          isCounted === true
            ? this.#publish(address, kind, head, body, isCounted)
            : this.#tryPublish(address, kind, head, body),
        mustFit: (name, body) => this.mustFit(name, body),
        epoch: () => this.epoch,
        node: (id) => this.#membership.nodes.get(id),
        heartbeatMs: this.config.heartbeatMs,
        now: () => runtime.now(),
        missed: (topic, node, count) => this.#losses.add({ direction: "received", count, reason: "gap", node, topic }),
      },
      this.#newDurableTopics(),
    );
  }

  #newQuestions(): NodeQuestions {
    const self = this;
    return new NodeQuestions({
      local: this.#local,
      requests: this.#requests,
      answerTimeoutMs: this.config.answerTimeoutMs,
      nodeTimeoutMs: this.config.nodeTimeoutMs,
      calls: this.calls,
      get nodeId() {
        return self.nodeId;
      },
      get isAlone() {
        return self.#state !== "connected";
      },
      get meetingMs() {
        return self.#hasMetAtMs - self.#local.context.runtime.now();
      },
      nodes: () => this.#membership.nodes,
      lost: () => this.#membership.lost,
      publish: (address, kind, head) => this.#publish(address, kind, head),
    });
  }

  #newDurableTopics(): DurableTopics {
    const { writer, context } = this.#local;
    return new DurableTopics({
      wheel: context.wheel,
      now: () => context.runtime.now(),
      answerTimeoutMs: this.config.answerTimeoutMs,
      link: () => this.#link,
      encode: (body) => encodeEnvelope(writer, this.#identity, EnvelopeKind.LOG_ENTRY, {}, body),
      decode: (payload) => {
        const envelope = this.#read(payload);
        if (envelope === null) return null;
        if (envelope.kind === EnvelopeKind.LOG_ENTRY) return new EncodedValue(envelope.body);
        this.#counts.unknown += 1;
        return null;
      },
      cannotRead: (error) => this.#report(error),
      entryFailed: (topic, offset, error) => {
        this.#losses.add({ direction: "received", count: 1, reason: "unreadable", topic });
        const { code, message } = asConduitError(error);
        const what = `Cannot give message ${offset} of the durable topic '${topic}' to its subscribers here: ${message}`;
        this.#report(new ConduitError(code, what));
      },
    });
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
    const { id, epoch, startedAt } = this.#identity;
    const self = { id, epoch, startedAt, connections: this.#local.connectionCount, isSelf: true };
    return [self, ...Array.from(this.#membership.nodes.values(), infoOf)];
  }

  get stats(): ClusterStats {
    const { sentMessages = 0, sentBytes = 0, receivedMessages = 0, receivedBytes = 0 } = this.#link?.stats ?? {};
    const traffic = { sentMessages, sentBytes, receivedMessages, receivedBytes };
    return { ...traffic, ...this.#counts, ...this.#losses.counts, topics: this.topics.size };
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
    return this.#losses.hooks.add(hook);
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /** Starts the link. @throws ConduitError as the driver does */
  async start(): Promise<void> {
    await this.stop();
    const { runtime } = this.#local.context;
    const run = {};
    this.#run = run;
    this.#heartbeats = 0;
    const id = this.config.nodeId ?? toHex(runtime.crypto.randomBytes(NODE_ID_BYTES));
    const epoch = toHex(runtime.crypto.randomBytes(EPOCH_BYTES));
    this.#identity = { id, epoch, link: 0, startedAt: runtime.wallClock() };
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
      if (this.#run === run) this.#endRun(asConduitError(error));
      throw error;
    }
    if (this.#run !== run) {
      await this.#close(link);
      return;
    }
    this.#link = link;
    try {
      for (const address of [ALL, { kind: "node", name: id }] as const) {
        link.subscribe(address, (payload) => this.#received(payload));
      }
      this.users.start();
      this.topics.start();
      if (link.state === "disconnected") {
        throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, "The link of the cluster ended while the node started");
      }
    } catch (error) {
      this.#endRun(asConduitError(error));
      await this.#close(link);
      throw error;
    }
    this.#membership.start();
    this.#setState(link.state, null);
    this.#sendHeartbeatToAll(true);
  }

  /** Leaves the cluster. Never rejects. */
  async stop(): Promise<void> {
    const link = this.#link;
    if (this.#run === null) return;
    this.#publish(ALL, EnvelopeKind.LEAVE, {});
    this.#endRun(null);
    if (link !== null) await this.#close(link);
  }

  /** Never rejects, and settles, whatever the driver does. */
  async #close(link: ClusterLink): Promise<void> {
    const deadline = withDeadline(this.#local.context.runtime, CLOSE_TIMEOUT_MS);
    await deadline.race(this.#closeOrReport(link));
    if (deadline.leftMs === 0) {
      const message = `The driver of the cluster didn't close its link within ${CLOSE_TIMEOUT_MS} ms`;
      this.#local.report(new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, message));
    }
    deadline.cancel();
  }

  async #closeOrReport(link: ClusterLink): Promise<void> {
    try {
      await link.close();
    } catch (error) {
      this.#local.report(error);
    }
  }

  /** Ends the current run. */
  #endRun(reason: ConduitError | null): void {
    this.#run = null;
    this.#link = null;
    this.#membership.stop();
    this.topics.stop(reason);
    this.users.stop();
    this.#requests.stop();
    this.calls.stop();
    this.#setState("disconnected", reason);
    this.#losses.end();
    for (const { report, count } of this.#failures.end()) this.#local.report(report, count);
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
        sendHeartbeat: () => {
          this.topics.publishPositions(this.#heartbeats);
          this.#sendHeartbeatToAll(false);
          this.calls.endForgotten((epoch) => this.#membership.byEpoch(epoch) !== undefined, nodeTimeoutMs);
        },
        joined: (node, isBack) => {
          if (isBack) this.questions.nodeReturned(node);
          this.topics.presence.nodeJoined(node);
          this.#joinedHooks.notify((error) => this.#local.hookFailed("onNodeJoined", error), infoOf(node));
        },
        left: (node, why) => {
          this.#requests.nodeLeft(node);
          this.calls.nodeLeft(node);
          if (why !== "timeout") this.questions.runEnded(node);
          this.topics.nodeLeft(node, why);
          this.#leftHooks.notify((error) => this.#local.hookFailed("onNodeLeft", error), infoOf(node), why);
        },
        missedFrom: (node, heardAtMs) => {
          this.questions.nodeReturned(node);
          this.topics.missedFrom(node, heardAtMs);
        },
        replaced: () => {
          const link = this.#link;
          const message = `Another node has started with the id '${this.nodeId}': this one has left the cluster`;
          const error = new ConduitError(ErrorCode.NODE_REPLACED, message);
          this.#endRun(error);
          this.#local.report(error);
          if (link !== null) void this.#close(link);
        },
      },
      this.#identity,
    );
  }

  #sendHeartbeatToAll(asks: boolean): void {
    this.#heartbeats += 1;
    if (asks) this.#hasMetAtMs = this.#local.context.runtime.now() + this.config.heartbeatMs;
    this.#sendHeartbeat(ALL, this.#heartbeats, asks);
  }

  /** @param asks whether the other nodes should answer with a heartbeat */
  #sendHeartbeat(to: ClusterAddress, sequence: number, asks: boolean): void {
    const { startedAt } = this.#identity;
    const head = { at: startedAt, c: this.#local.connectionCount, i: sequence, ...(asks ? { hello: true } : {}) };
    this.#publish(to, EnvelopeKind.HEARTBEAT, head);
  }

  #stateChanged(state: ClusterState, reason: ConduitError | null): void {
    // Until `start` has the link, it sets the state itself.
    if (this.#link === null) return;
    if (state === this.#state) {
      if (reason !== null) this.#report(reason);
      return;
    }
    this.#setState(state, reason);
    if (state === "disconnected") {
      this.#endRun(reason);
      return;
    }
    if (state !== "connected") return;
    this.#identity = { ...this.#identity, link: this.#identity.link + 1 };
    this.#sendHeartbeatToAll(true);
    this.topics.interrupted();
    this.topics.presence.reconnected();
  }

  #setState(to: ClusterState, reason: ConduitError | null): void {
    const from = this.#state;
    if (from === to) return;
    this.#state = to;
    if (to === "connected" || to === "disconnected") this.linkWaits.end();
    this.#stateHooks.notify((error) => this.#local.hookFailed("onStateChange", error), { from, to, reason });
  }

  /** @throws ConduitError CLUSTER_UNAVAILABLE */
  records(): ClusterRecords {
    const records = this.#link?.records ?? null;
    if (records !== null) return records;
    const why = this.#link === null ? `the link is ${this.#state}` : "the engine of the cluster has none";
    throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `Cannot use records: ${why}`);
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** @param isCounted whether this is an application message, whose loss is counted */
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
        : this.#publishOn(link, address, encodeEnvelope(this.#local.writer, this.#identity, kind, head, body));
    if (result !== "sent" && isCounted) {
      this.#counts.refused += 1;
      this.#losses.add({ direction: "sent", count: 1, reason: result });
    }
    return result;
  }

  /** Publishes presence and positions. Reports one that can't be encoded, so that heartbeats go on. */
  #tryPublish(
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body: Uint8Array | undefined,
  ): PublishResult {
    try {
      return this.#publish(address, kind, head, body);
    } catch (error) {
      this.#local.report(error);
      return "too-large";
    }
  }

  /** Guards against drivers that throw, so that heartbeats go on and calls settle. */
  #publishOn(link: ClusterLink, address: ClusterAddress, payload: Uint8Array): PublishResult {
    try {
      return link.publish(address, payload);
    } catch (error) {
      this.#local.report(error);
      return "disconnected";
    }
  }

  /** Publishes an application message, or throws. @throws ConduitError CLUSTER_UNAVAILABLE, MESSAGE_TOO_LARGE */
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

  /** @throws ConduitError MESSAGE_TOO_LARGE if the message exceeds the link's limit */
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
      if (node === undefined) continue;
      const ids = byNode.get(node);
      if (ids === undefined) byNode.set(node, [id]);
      else ids.push(id);
    }
    for (const [node, ids] of byNode) {
      const address = { kind: "node", name: node.id } as const;
      this.#publish(address, EnvelopeKind.BROADCAST, { ...head, include: ids }, data.bytes, true);
    }
  }

  /** The node that made a connection's id. */
  #nodeOf(connection: string): Node | undefined {
    const epoch = epochIn(connection);
    return epoch === null ? undefined : this.#membership.byEpoch(epoch);
  }

  /** The node of a connection. @throws ConduitError CONNECTION_CLOSED, CLUSTER_UNAVAILABLE, NODE_UNAVAILABLE */
  mustKnow(connection: string, name: string): Node {
    const node = this.#nodeOf(connection);
    if (node !== undefined) return node;
    if (this.#state !== "connected") {
      const message = `Cannot send '${name}': the connection isn't on this node, and the link is ${this.#state}`;
      throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, message);
    }
    if (this.mayBeElsewhere(connection)) {
      const message = `Cannot send '${name}': the node that has the connection ${connection} is unreachable`;
      throw new ConduitError(ErrorCode.NODE_UNAVAILABLE, message);
    }
    throw noConnection(connection, name);
  }

  /** Whether the link is down and the driver keeps retrying. */
  get mayConnect(): boolean {
    return this.#state === "connecting" || this.#state === "reconnecting";
  }

  /** Whether a connection that isn't on this node may be on another one that is alive, unreachable, or not known yet. */
  mayBeElsewhere(connection: string): boolean {
    const epoch = epochIn(connection);
    if (epoch === null || epoch === this.epoch || this.#state === "disconnected") return false;
    if (this.#state !== "connected" || this.#local.context.runtime.now() < this.#hasMetAtMs) return true;
    return this.#membership.byEpoch(epoch) !== undefined || this.#membership.lost.some((node) => node.epoch === epoch);
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  #received(payload: Uint8Array): void {
    const envelope = this.#read(payload);
    if (envelope === null) return;
    try {
      this.#handle(envelope);
    } catch (error) {
      if (isInstance(error, ConduitError) && error.code === ErrorCode.MALFORMED_PAYLOAD) this.#counts.malformed += 1;
      else this.#failed(envelope, error);
    }
  }

  /** Counts and reports an envelope that this node failed to handle. */
  #failed({ kind, from, head }: Envelope, error: unknown): void {
    if (FOR_CLIENTS.has(kind)) {
      const topic = kind === EnvelopeKind.PUBLISH ? { topic: head.text("topic") } : {};
      this.#losses.add({ direction: "received", count: 1, reason: "unreadable", node: from.id, ...topic });
    }
    this.#report(error);
  }

  /** Reports a failed message or link: the first immediately, then at most once a second for each code. */
  #report(error: unknown): void {
    const count = this.#failures.add(asConduitError(error).code, error, this.#local.context.runtime.now());
    if (count > 0) this.#local.report(error, count);
  }

  /** Returns null, and counts the message, if it can't be decoded or has another version. */
  #read(payload: Uint8Array): Envelope | null {
    const envelope = decodeEnvelope(this.#local.reader, payload);
    if (typeof envelope !== "string") return envelope;
    this.#counts[envelope === "malformed" ? "malformed" : "unknown"] += 1;
    return null;
  }

  /** @throws ConduitError MALFORMED_PAYLOAD, and what handlers throw */
  #handle(envelope: Envelope): void {
    const { kind, from, head, body } = envelope;
    if (this.#run === null) return;
    if (kind === EnvelopeKind.HEARTBEAT) {
      const heartbeat = heartbeatIn(head);
      if (heartbeat.sequence > 0) this.#heartbeatReceived(from);
      this.#membership.heartbeatReceived(from, heartbeat);
      const isAsked = head.raw("hello") === true && from.epoch !== this.epoch;
      if (isAsked) this.#sendHeartbeat({ kind: "node", name: from.id }, 0, false);
      return;
    }
    if (!this.#membership.isCurrent(from)) {
      this.#counts.stale += 1;
      return;
    }
    switch (kind) {
      case EnvelopeKind.LEAVE:
        this.#membership.leaveReceived(from);
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
        if (this.calls.deliver(head, body)) return;
        this.#losses.add({ direction: "received", count: 1, reason: "no-connection", node: from.id });
        return;
      case EnvelopeKind.CALL:
        void this.calls.run(from, head, body);
        return;
      case EnvelopeKind.CANCEL:
        this.calls.cancel(from, head.count("id"));
        return;
      case EnvelopeKind.STREAM:
        this.calls.streams.received(from, head, body);
        return;
      case EnvelopeKind.QUESTION:
        void this.#answerQuestion(from, head.count("id"), head.text("question"), head.raw("params"));
        return;
      case EnvelopeKind.ANSWER:
        this.#requests.answered(head.count("id"), from, this.calls.answerIn(head, body));
        return;
      default:
        this.topics.received(envelope);
    }
  }

  /** On a node's heartbeat, repeats requests to it whose answers are missing, and other messages that may have been lost. */
  #heartbeatReceived({ id, epoch }: NodeIdentity): void {
    const node = this.#membership.nodes.get(id);
    if (node?.epoch !== epoch) return;
    this.topics.presence.heartbeatReceived(node);
    this.questions.heartbeatReceived(node);
    this.questions.checkCalls(node);
    this.calls.streams.heartbeatReceived(node);
  }

  async #answerQuestion(from: NodeIdentity, id: number, question: string, params: unknown): Promise<void> {
    const answer = await this.questions.answerTo(from, question, params);
    if (this.#run !== null) this.calls.answer(from, id, answer);
  }

  #driverLost(direction: "sent" | "received", count: number): void {
    this.#losses.add({ direction, count, reason: "dropped" });
    if (direction === "sent") {
      this.topics.presence.resendAll();
      return;
    }
    this.topics.interrupted();
    for (const node of this.#membership.nodes.values()) this.topics.presence.nodeJoined(node);
  }
}

/** Application messages to clients that have no reply. */
const FOR_CLIENTS: ReadonlySet<EnvelopeKind> = new Set([
  EnvelopeKind.BROADCAST,
  EnvelopeKind.MESSAGE,
  EnvelopeKind.PUBLISH,
]);
const ALL: ClusterAddress = { kind: "all", name: "" };
/** Bytes reserved for the head of a message when only its body is checked. */
const HEAD_RESERVE_BYTES = 1024;

/** The narrowest address that covers all nodes with matching connections. */
function addressFor(where: ConnectionFilter | null): ClusterAddress {
  const { topic, user } = where ?? {};
  if (typeof topic === "string" && isAddressName(topic)) return { kind: "topic", name: topic };
  if (typeof user === "string" && user !== "" && isAddressName(user)) return { kind: "user", name: user };
  return ALL;
}

function infoOf({ id, epoch, startedAt, connections }: Node): ClusterNodeInfo {
  return { id, epoch, startedAt, connections, isSelf: false };
}

/** @throws ConduitError MALFORMED_PAYLOAD */
function heartbeatIn(head: EnvelopeHead): Heartbeat {
  return { startedAt: head.count("at"), connections: head.count("c"), sequence: head.count("i") };
}
