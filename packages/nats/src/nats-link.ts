/**
 * A node's link to its cluster over NATS: one connection, with one NATS subscription for each address.
 *
 * Theory of operation. nats.js reconnects and restores subscriptions automatically, and silently drops messages
 * published during a disconnect. So this class only publishes while connected, tracks confirmed messages with
 * `SendWindow`, and reports messages that may be lost when a connection ends. It becomes `connected` once NATS has
 * confirmed the subscriptions.
 */

import { headers, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import type {
  ClusterAddress,
  ClusterHost,
  ClusterLink,
  ClusterLinkStats,
  ClusterLogs,
  ClusterRecords,
  ClusterState,
  ClusterSubscription,
  PublishResult,
} from "@netconduit/core";
import { ConduitError, ErrorCode } from "@netconduit/core";
import { messageOf } from "@netconduit/core/adapter";
import { CHUNK_HEADER, ChunkAssembler, chunksOf } from "./chunks.ts";
import { ConnectionRequests } from "./connection-requests.ts";
import { abortTransport, connectBy } from "./nats-connect.ts";
import {
  connectionError,
  isHopeless,
  isPermissionViolation,
  isSubscriptionLimit,
  type PermissionViolation,
  permissionError,
  subscriptionLimitError,
  violationIn,
} from "./nats-errors.ts";
import { maxPayloadOf, ownBytes } from "./nats-limits.ts";
import { NatsLogs } from "./nats-logs.ts";
import { inboxPrefixOf, type NatsConfig } from "./nats-options.ts";
import { NatsRecords } from "./nats-records.ts";
import { SendWindow } from "./send-window.ts";
import { fitsControlLine, probeSubject, subjectOf } from "./subjects.ts";

/** Upper bound of the random delay between connection attempts, which keeps nodes from reconnecting all at once. */
const RETRY_MS = 2000;
const MIN_RETRY_MS = 100;
/** How long `close` flushes published messages; `close` must settle within five seconds. */
const DRAIN_MS = 3000;
/** A WebSocket isn't closed before its data is written. */
const CLOSE_MS = 1000;

const KINDS: readonly ClusterAddress["kind"][] = ["all", "node", "topic", "user"];

interface LinkSubscription {
  readonly subject: string;
  readonly onMessage: (payload: Uint8Array) => void;
  /** Null until the link has connected for the first time. */
  sub: Subscription | null;
}

export class NatsLink implements ClusterLink {
  readonly logs: ClusterLogs;
  readonly records: ClusterRecords;
  readonly #host: ClusterHost;
  readonly #config: NatsConfig;
  readonly #window: SendWindow;
  readonly #assembler: ChunkAssembler;
  readonly #logs: NatsLogs;
  readonly #requests = new ConnectionRequests();
  readonly #subscriptions = new Map<string, LinkSubscription>();
  readonly #stats = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };
  #state: ClusterState = "connecting";
  #connection: NatsConnection | null = null;
  /** Increases with each lost connection, to recognize events of earlier ones. */
  #generation = 0;
  #isClosed = false;
  #isStarting = true;
  #retryTimer: unknown = null;
  #lastError: Error | null = null;
  #confirming: Promise<void> | null = null;
  #chunkedMessages = 0;
  /** Prefix of the ids of this link's chunked messages. */
  readonly #linkId = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 12)}`;

  constructor(config: NatsConfig, host: ClusterHost) {
    this.#config = config;
    this.#host = host;
    this.#window = new SendWindow(host.clock, config.maxPendingBytes);
    this.#assembler = new ChunkAssembler(config.maxPayloadBytes, () => host.messagesLost("received", 1));
    const failed = (error: unknown): void => this.#notTaken(error);
    this.#logs = new NatsLogs({ config, clock: host.clock, requests: this.#requests, failed });
    this.logs = this.#logs;
    this.records = new NatsRecords(config, this.#requests);
  }

  get state(): ClusterState {
    return this.#state;
  }

  get maxPayloadBytes(): number {
    return this.#config.maxPayloadBytes;
  }

  get stats(): ClusterLinkStats {
    return { ...this.#stats };
  }

  /** Connects, or keeps retrying. @throws ConduitError if retrying can't help */
  async start(): Promise<void> {
    try {
      await this.#dial();
    } catch (cause) {
      const error = connectionError(cause, this.#config.servers);
      if (isHopeless(error)) {
        await this.close();
        throw error;
      }
      this.#retry(error);
    } finally {
      this.#isStarting = false;
    }
  }

  async #dial(): Promise<void> {
    const config = this.#config;
    const connection = await connectBy(config.connect, {
      ...config.login,
      servers: config.servers,
      name: `netconduit ${config.name} ${this.#host.nodeId}`,
      // A node doesn't receive its own messages.
      noEcho: true,
      inboxPrefix: inboxPrefixOf(config),
      timeout: config.connectTimeoutMs,
      pingInterval: config.pingIntervalMs,
      maxPingOut: 2,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: retryDelay,
      // Credentials may be renewed while the node is running.
      ignoreAuthErrorAbort: true,
      noAsyncTraces: true,
    });
    if (this.#isClosed) {
      await connection.close();
      return;
    }
    this.#connection = connection;
    try {
      await this.#tryPermissions(connection);
    } catch (error) {
      this.#connection = null;
      await connection.close();
      throw error;
    }
    // Starts here, because probing the permissions may cause violations that have to be reported.
    void this.#watch(connection);
    await this.#restored(connection);
  }

  /**
   * Probes whether NATS forbids this node's subjects, because it would drop their messages silently later.
   * @throws ConduitError PERMISSION_DENIED
   */
  async #tryPermissions(connection: NatsConnection): Promise<void> {
    const violations: PermissionViolation[] = [];
    const collect = (error: unknown): void => {
      const violation = violationIn(error);
      if (violation !== null) violations.push(violation);
    };
    const { subjectPrefix, connectTimeoutMs } = this.#config;
    const subjects = KINDS.map((kind) => probeSubject(subjectPrefix, kind, this.#linkId));
    // Without a violation, NATS answers immediately with "no responders".
    const options = { noMux: true, timeout: connectTimeoutMs };
    await Promise.all(
      subjects.map((subject) => connection.request(subject, new Uint8Array(0), options).catch(collect)),
    );
    const probes = subjects.map((subject) => connection.subscribe(subject, { callback: collect }));
    await connection.flush();
    await connection.flush();
    for (const probe of probes) if (!probe.isClosed()) probe.unsubscribe();
    if (violations.length > 0) throw permissionError(violations);
  }

  #retry(reason: ConduitError): void {
    if (this.#isClosed) return;
    this.#host.stateChanged(this.#state, reason);
    this.#retryTimer = this.#host.clock.setTimer(() => void this.#dialAgain(), retryDelay(), false);
  }

  async #dialAgain(): Promise<void> {
    try {
      await this.#dial();
    } catch (cause) {
      this.#retry(connectionError(cause, this.#config.servers));
    }
  }

  /** Follows a connection to its end. */
  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (this.#connection !== connection) return;
      if (status.type === "staleConnection") this.#abort(connection);
      else if (status.type === "disconnect") this.#lost();
      else if (status.type === "reconnect") void this.#restored(connection);
      else if (status.type === "error") this.#failed(status.error);
    }
    if (this.#connection === connection) await this.#ended(connection);
  }

  /** nats.js ends the connection, because NATS doesn't answer pings or because of the error that it has just reported. */
  #abort(connection: NatsConnection): void {
    const message = `NATS at ${this.#config.servers.join(", ")} doesn't answer pings`;
    this.#lastError ??= new ConduitError(ErrorCode.HEARTBEAT_TIMEOUT, message);
    abortTransport(connection, this.#lastError);
  }

  /** nats.js has closed the connection for good, for example because the credentials function threw. Makes a new one. */
  async #ended(connection: NatsConnection): Promise<void> {
    this.#connection = null;
    for (const subscription of this.#subscriptions.values()) subscription.sub = null;
    this.#lost();
    const cause = (await connection.closed()) ?? new Error("nats.js closed the connection");
    this.#retry(connectionError(cause, this.#config.servers));
  }

  /** The connection works, for the first time or after a reconnect. */
  async #restored(connection: NatsConnection): Promise<void> {
    const generation = this.#generation;
    try {
      for (const subscription of this.#subscriptions.values()) {
        // nats.js closes subscriptions that NATS has forbidden, and doesn't restore them.
        if (subscription.sub?.isClosed() !== false) this.#subscribe(connection, subscription);
      }
      await connection.flush();
    } catch {
      // Lost again, which is reported elsewhere.
      return;
    }
    if (generation !== this.#generation || this.#isClosed) return;
    this.#lastError = null;
    this.#window.opened(connection);
    this.#requests.opened(connection);
    // Reported when `start` resolves.
    if (this.#isStarting) this.#state = "connected";
    else this.#setState("connected", null);
    this.#logs.restored();
  }

  #lost(): void {
    this.#generation += 1;
    if (this.#state !== "connected") return;
    const { servers } = this.#config;
    const reason =
      this.#lastError === null
        ? new ConduitError(ErrorCode.CONNECTION_CLOSED, `The connection to NATS at ${servers.join(", ")} ended`)
        : connectionError(this.#lastError, servers);
    const lost = this.#window.closed();
    this.#requests.closed();
    this.#assembler.clear();
    this.#setState("reconnecting", reason);
    if (this.#isClosed) return;
    if (lost > 0) this.#host.messagesLost("sent", lost);
    this.#host.messagesLost("received", 0);
  }

  #failed(error: Error): void {
    if (isPermissionViolation(error)) {
      if (!this.#isClosed) this.#host.stateChanged(this.#state, permissionError([error]));
      return;
    }
    if (isSubscriptionLimit(error)) {
      if (!this.#isClosed) this.#host.stateChanged(this.#state, subscriptionLimitError(this.#config.servers));
      return;
    }
    this.#lastError = error;
    if (this.#state === "connected" || this.#isClosed) return;
    this.#host.stateChanged(this.#state, connectionError(error, this.#config.servers));
  }

  #setState(state: ClusterState, reason: ConduitError | null): void {
    if (this.#isClosed || state === this.#state) return;
    this.#state = state;
    this.#host.stateChanged(state, reason);
  }

  publish(address: ClusterAddress, payload: Uint8Array): PublishResult {
    const connection = this.#connection;
    if (this.#state !== "connected" || connection === null) return "disconnected";
    const subject = subjectOf(this.#config.subjectPrefix, address);
    if (payload.length > this.#config.maxPayloadBytes || !fitsControlLine(subject)) return "too-large";
    if (!this.#window.hasRoomFor(payload.length)) return "full";
    const limit = maxPayloadOf(connection);
    if (payload.length <= limit) connection.publish(subject, payload);
    else this.#publishChunks(connection, subject, payload, limit);
    this.#window.sent(payload.length);
    this.#stats.sentMessages += 1;
    this.#stats.sentBytes += payload.length;
    return "sent";
  }

  #publishChunks(connection: NatsConnection, subject: string, payload: Uint8Array, limit: number): void {
    const id = `${this.#linkId}:${this.#chunkedMessages++}`;
    for (const { header, bytes } of chunksOf(id, payload, limit)) {
      const chunkHeaders = headers();
      chunkHeaders.set(CHUNK_HEADER, header);
      connection.publish(subject, bytes, { headers: chunkHeaders });
    }
  }

  subscribe(address: ClusterAddress, onMessage: (payload: Uint8Array) => void): ClusterSubscription {
    const subject = subjectOf(this.#config.subjectPrefix, address);
    const subscription: LinkSubscription = { subject, onMessage, sub: null };
    // Publishing to it isn't possible either.
    if (!fitsControlLine(subject)) return { ready: Promise.resolve(), unsubscribe: () => undefined };
    this.#subscriptions.set(subject, subscription);
    const connection = this.#connection;
    if (connection !== null) this.#subscribe(connection, subscription);
    return {
      ready: connection === null ? Promise.resolve() : this.#confirm(connection),
      unsubscribe: () => {
        if (this.#subscriptions.get(subject) === subscription) this.#subscriptions.delete(subject);
        subscription.sub?.unsubscribe();
      },
    };
  }

  #subscribe(connection: NatsConnection, subscription: LinkSubscription): void {
    subscription.sub = connection.subscribe(subscription.subject, {
      // NATS also reports rejected subscriptions as an error of the connection.
      callback: (error, message) => {
        if (error === null) this.#received(subscription, message);
      },
    });
  }

  #received({ onMessage }: LinkSubscription, { data, headers: messageHeaders }: Msg): void {
    const header = messageHeaders?.get(CHUNK_HEADER) ?? "";
    const payload = header === "" ? ownBytes(data) : this.#assembler.add(header, data);
    if (payload === null) return;
    this.#stats.receivedMessages += 1;
    this.#stats.receivedBytes += payload.length;
    try {
      onMessage(payload);
    } catch (error) {
      // Rethrowing would end nats.js's read loop.
      this.#notTaken(error);
    }
  }

  /** Reports an error that was thrown while a message was delivered. */
  #notTaken(error: unknown): void {
    if (this.#isClosed) return;
    const told = `A message between nodes couldn't be handled: ${messageOf(error)}`;
    this.#host.messagesLost("received", 1);
    this.#host.stateChanged(this.#state, new ConduitError(ErrorCode.INTERNAL, told, { cause: error }));
  }

  /** Resolves when NATS has registered all subscriptions made in this turn, which share one round trip. */
  #confirm(connection: NatsConnection): Promise<void> {
    this.#confirming ??= Promise.resolve()
      .then(() => {
        this.#confirming = null;
        return connection.flush();
      })
      // Rejected because the link was lost first.
      .catch(() => undefined);
    return this.#confirming;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const wasConnected = this.#state === "connected";
    this.#isClosed = true;
    this.#state = "disconnected";
    if (this.#retryTimer !== null) this.#host.clock.clearTimer(this.#retryTimer);
    this.#window.closed();
    this.#requests.closed();
    this.#logs.close();
    const connection = this.#connection;
    this.#connection = null;
    if (connection === null || connection.isClosed()) return;
    if (wasConnected) await this.#limited(connection.flush(), DRAIN_MS);
    await this.#limited(connection.close(), CLOSE_MS);
  }

  /** Waits until a task has ended; stops after a time limit if NATS doesn't read. */
  async #limited(task: Promise<void>, limitMs: number): Promise<void> {
    const { clock } = this.#host;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(resolve, limitMs, true);
      const done = (): void => {
        clock.clearTimer(timer);
        resolve();
      };
      // A rejected task has ended as well: the connection is lost, and nothing can be sent.
      task.then(done, done);
    });
  }
}

function retryDelay(): number {
  return MIN_RETRY_MS + Math.random() * (RETRY_MS - MIN_RETRY_MS);
}
