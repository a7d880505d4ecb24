/**
 * A server's connections, from the accepted stream to its end.
 *
 * Theory of operation. A stream is accepted while there are file descriptors for it. Its connection is pending, and the
 * login manager's, until it has logged in; then it is a client, if fewer than `maxConnections` are connected. When it
 * begins to close it is *leaving*: it receives no more messages, and keeps its place until its stream has ended or a new
 * client needs the place.
 */

import { infoPayload } from "../auth/peer-info.ts";
import type { User } from "../auth/user.ts";
import type { UserOptions } from "../auth/users.ts";
import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ResumableStream } from "../bytes/resumable-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import type { DrainNotice } from "../connection/extension.ts";
import { type ConnectionDelegate, ProtocolConnection } from "../connection/protocol-connection.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { HookList } from "../endpoint/hook-list.ts";
import { ConduitError, codeOf, ErrorCode, isInstance, messageOf, RpcError } from "../errors.ts";
import { askToDrain, drain } from "../extensions/drain.ts";
import { READY_FRAME, ready } from "../extensions/ready.ts";
import { renewal } from "../extensions/renewal.ts";
import { resume } from "../extensions/resume/resume.ts";
import { NETCONDUIT_WELCOME_HOLD_MS, REPORT_WINDOW_MS } from "../limits.ts";
import type { ClientKinds } from "../rpc/client-kinds.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { toHex } from "../util/hex.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { FrameType } from "../wire/constants.ts";
import { BufferBudget } from "./buffer-budget.ts";
import { Connection } from "./connection.ts";
import { DescriptorGuard } from "./descriptor-guard.ts";
import { IdentityExpiry } from "./identity-expiry.ts";
import { type AcceptedStep, LoginManager, type Rejection } from "./login-manager.ts";
import type { ServerConfig } from "./server-options.ts";
import { type ResumeRequest, resumeRequest, SESSION_TOKEN_BYTES, type Session, Sessions } from "./sessions.ts";
import { keyOf, type RecalledSession, type StoredSessions } from "./stored-sessions.ts";
import { strangerError } from "./stranger-error.ts";

/** Counters of a server since its creation. */
export interface ServerStats {
  /** Connections accepted. */
  readonly accepted: number;
  /** Clients logged in. */
  readonly loggedIn: number;
  /** Logins rejected because of a wrong password. */
  readonly authFailures: number;
  /** Connections rejected for any reason, including wrong passwords. */
  readonly rejected: number;
}

/** The server of {@link ServerConnections}. */
export interface ServerConnectionsHost<C extends Contract, D extends object> {
  readonly runtime: Runtime;
  readonly core: EndpointCore<Connection<C, D>>;
  readonly config: ServerConfig;
  readonly connectHooks: HookList<[connection: Connection<C, D>]>;
  readonly resumeHooks: HookList<[connection: Connection<C, D>]>;
  readonly disconnectHooks: HookList<[connection: Connection<C, D>, reason: CloseReason]>;
  readonly rejectedHooks: HookList<[rejection: Rejection]>;
  /** Makes the initial `connection.data`; undefined for an empty object. */
  readonly connectionData: (() => D) | undefined;
  /** Null if the contract has no kinds of clients. */
  readonly clientKinds: ClientKinds | null;
  /** The roles of its user may have changed. */
  userChanged(protocol: ProtocolConnection<Connection<C, D>>, formerRoles: readonly string[]): void;
  /** The id of the next connection. */
  connectionId(): string;
  /** Ends a session on other nodes. Resolves with whether one had it. */
  releaseElsewhere(key: string): Promise<boolean>;
  /** A client has logged in. */
  clientAdmitted(protocol: ProtocolConnection<Connection<C, D>>): void;
  /** A client's connection begins to close, or has ended. */
  clientEnded(protocol: ProtocolConnection<Connection<C, D>>): void;
  /** Keeps the part of sessions that outlives the process; null without a store. */
  readonly storedSessions: StoredSessions | null;
  /** Whether clients are accepted now. */
  isOpen(): boolean;
}

type Protocol<C extends Contract, D extends object> = ProtocolConnection<Connection<C, D>>;

export class ServerConnections<C extends Contract, D extends object> {
  readonly #host: ServerConnectionsHost<C, D>;
  readonly #delegate: ConnectionDelegate<Connection<C, D>>;
  readonly #serverInfo: Readonly<Record<string, string>>;
  readonly #logins: LoginManager<Connection<C, D>>;
  readonly #clients = new Map<string, Protocol<C, D>>();
  /** Oldest first. They count against `maxConnections` until their streams have ended. */
  readonly #leaving = new Set<Protocol<C, D>>();
  /** Their sessions are on another node now. */
  readonly #moved = new WeakSet<Protocol<C, D>>();
  readonly #descriptors = new DescriptorGuard();
  readonly #buffers: BufferBudget;
  /** Null if sessions end with their streams. */
  readonly #sessions: Sessions<Connection<C, D>> | null;
  /** Failures to accept, by code. */
  readonly #acceptReports = new ReportWindows<ConduitError>(REPORT_WINDOW_MS);
  readonly #connectHooksRunning = new Map<Connection<C, D>, Promise<void>>();
  readonly #disconnectHooksRunning = new Set<Promise<void>>();
  /** Of users whose identity expires. */
  readonly #expiries = new Map<Protocol<C, D>, IdentityExpiry>();
  /** Whether clients whose streams are lost may still come back, although the server is stopping. */
  #isDraining = false;
  #accepted = 0;
  #loggedIn = 0;
  #keepsRunning = true;

  constructor(host: ServerConnectionsHost<C, D>) {
    const { core, config, runtime } = host;
    this.#host = host;
    this.#serverInfo = infoPayload(config);
    this.#sessions = config.resume === null ? null : new Sessions(core.runtimeContext, config.resume.windowMs);
    this.#buffers = new BufferBudget(config.maxBufferedBytes, (task) => runtime.defer(task));
    this.#delegate = core.delegate({
      role: "server",
      handshakeFrame: (protocol, type, payload) => this.#logins.handshakeFrame(protocol, type, payload),
      phaseTimedOut: (protocol) => this.#phaseTimedOut(protocol),
      frameRefused: (protocol, error, count) => this.#frameRefused(protocol, error, count),
      connectionReady: ignore,
      connectionDraining: ignore,
      connectionSuspended: (protocol) => this.#suspended(protocol),
      connectionClosing: (protocol) => this.#connectionClosing(protocol),
      connectionClosed: (protocol, reason) => this.#connectionClosed(protocol, reason),
      buffers: this.#buffers,
    });
    this.#logins = new LoginManager({
      runtime,
      runtimeContext: core.runtimeContext,
      config,
      refusal: (wanted) => this.#refusal(wanted),
      admit: (protocol, step, acceptedAt, recalled) => this.#admit(protocol, step, acceptedAt, recalled),
      recall: (step) => this.#recall(step),
      rejected: (rejection) =>
        host.rejectedHooks.notify((error) => core.hookFailed("onClientRejected", error), rejection),
      lookupFailed: (error, stream) =>
        core.report(error, { stage: "login", name: "authenticate", remoteAddress: formatAddress(stream.remote) }),
    });
  }

  /** The connections of logged-in clients, by id. */
  get clients(): ReadonlyMap<string, Protocol<C, D>> {
    return this.#clients;
  }

  get stats(): ServerStats {
    return {
      accepted: this.#accepted,
      loggedIn: this.#loggedIn,
      authFailures: this.#logins.authFailures,
      rejected: this.#logins.rejections,
    };
  }

  /** Whether connections keep the process running. */
  get keepsRunning(): boolean {
    return this.#keepsRunning;
  }

  set keepsRunning(keepsRunning: boolean) {
    this.#keepsRunning = keepsRunning;
    for (const { stream } of this.#all()) {
      if (keepsRunning) stream.ref?.();
      else stream.unref?.();
    }
  }

  /** Call it before each start, before any connection. */
  prepare(): Promise<void> {
    return this.#logins.prepare();
  }

  /** The server listens. @param maxSockets as many as there are descriptors for; undefined if that is unknown */
  listening(maxSockets: number | undefined): void {
    this.#descriptors.start(maxSockets);
  }

  accept(stream: ByteStream): void {
    this.#accepted += 1;
    if (!this.#host.isOpen() && !this.#isDraining) {
      this.#logins.turnAway(stream);
      return;
    }
    if (!this.#hasDescriptors()) {
      stream.destroy(new ConduitError(ErrorCode.CONNECTION_ERROR, "Short of file descriptors"));
      return;
    }
    const machine = new ConnectionStateMachine(this.#host.core);
    machine.transition("accepted", { message: "Accepted" });
    const carried = this.#sessions === null ? stream : new ResumableStream(stream);
    if (!this.#keepsRunning) carried.unref?.();
    this.#logins.begin(new ProtocolConnection<Connection<C, D>>(this.#delegate, carried, machine));
  }

  /**
   * A connection failed before it was accepted. Reported once a second and code, with the number; the rest when the
   * server stops.
   */
  acceptFailed(error: ConduitError): void {
    const count = this.#acceptReports.add(error.code, error, this.#host.runtime.now());
    if (count > 0) this.#host.core.report(error, { stage: "accept", count });
  }

  /** The system has no descriptors or memory for more sockets: pending logins give way. */
  exhausted(error: ConduitError): void {
    this.acceptFailed(error);
    const max = this.#descriptors.exhausted(this.#logins.size);
    while (this.#logins.size > max) this.#logins.dropOldest();
  }

  /** The server begins to stop. */
  beginStop(): void {
    this.#isDraining = this.#sessions !== null;
    this.refuseLogins();
  }

  /** Rejects clients that are logging in. */
  refuseLogins(): void {
    for (const protocol of this.#logins.pending) {
      this.#logins.refuse(protocol, ErrorCode.SERVER_STOPPING, "The server is stopping");
    }
  }

  /**
   * Asks clients to send no more; resolves when no connection has any requests left, and clients that resume have received
   * everything. Clients whose streams are lost may come back meanwhile; the sessions of those that are away end at once if the
   * server has nothing for them.
   */
  drain(notice: DrainNotice): Promise<unknown> {
    for (const protocol of this.#all()) if (protocol.isSuspended && !owesAnything(protocol)) endStopped(protocol);
    return Promise.all(this.#all().map((protocol) => drainConnection(protocol, notice)));
  }

  /** Closes all connections gracefully. */
  async endAll(): Promise<void> {
    this.#isDraining = false;
    this.refuseLogins();
    const reason = { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping", reconnect: true };
    await Promise.all(this.#all().map((protocol) => protocol.close(reason)));
    const merged = this.#acceptReports.end();
    for (const { report, count } of merged) this.#host.core.report(report, { stage: "accept", count });
  }

  /** Resolves when the hooks of all ended connections have finished. */
  ended(): Promise<unknown> {
    return Promise.all(this.#disconnectHooksRunning);
  }

  #all(): Protocol<C, D>[] {
    return [...this.#logins.pending, ...this.#clients.values(), ...this.#leaving];
  }

  // --- admission ----------------------------------------------------------------------------------------------------

  /** Whether there are descriptors for one more connection, perhaps because a pending login gave way. */
  #hasDescriptors(): boolean {
    const pending = this.#logins.size;
    const open = pending + this.#clients.size + this.#leaving.size - (this.#sessions?.suspendedCount ?? 0);
    if (this.#descriptors.hasRoom(open, pending)) return true;
    this.acceptFailed(this.#descriptors.error(open));
    return this.#logins.dropOldest();
  }

  #refusal(wanted: unknown): { code: number; message: string } | null {
    // A client that resumes has its place.
    if (this.#sessions?.has(resumeRequest(wanted)) === true) return null;
    if (!this.#host.isOpen()) return { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping" };
    const { maxConnections } = this.#host.config;
    // Sessions without a stream give way.
    if (this.#clients.size < maxConnections || (this.#sessions?.suspendedCount ?? 0) > 0) return null;
    return { code: ErrorCode.SERVER_FULL, message: `Server full: ${maxConnections} clients are connected` };
  }

  #recall(step: AcceptedStep): Promise<RecalledSession | null> | null {
    const wanted = resumeRequest(step.resume);
    const { storedSessions } = this.#host;
    if (storedSessions === null || wanted === null || this.#sessions?.has(wanted) === true) return null;
    return this.#recallFrom(storedSessions, wanted, ownerOf(step));
  }

  /** Another node may still have the session: it ends there first, so that no message is handled on both. */
  async #recallFrom(sessions: StoredSessions, wanted: ResumeRequest, owner: string): Promise<RecalledSession | null> {
    const recalled = await sessions.recall(wanted, owner);
    const wasElsewhere = recalled !== null && (await this.#host.releaseElsewhere(keyOf(wanted.token)));
    return wasElsewhere ? sessions.recall(wanted, owner) : recalled;
  }

  #endMoved(protocol: Protocol<C, D>): void {
    this.#moved.add(protocol);
    protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The client goes on on another node"));
  }

  #admit(protocol: Protocol<C, D>, step: AcceptedStep, acceptedAt: number, recalled: RecalledSession | null): void {
    const { core, connectHooks } = this.#host;
    const owner = ownerOf(step);
    const wanted = this.#sessions === null ? null : resumeRequest(step.resume);
    const session = wanted === null ? null : (this.#sessions?.find(wanted, owner) ?? null);
    if (session !== null && wanted !== null) {
      this.#mayResume(protocol, step, session, wanted);
      return;
    }
    // Its place may have been that of the session which it can't resume.
    const refusal = this.#refusal(null);
    if (refusal !== null) {
      this.#logins.refuse(protocol, refusal.code, refusal.message);
      return;
    }
    if (this.#clients.size >= this.#host.config.maxConnections) this.#sessions?.endOldest();
    let data: D | undefined;
    try {
      data = this.#host.connectionData?.();
    } catch (error) {
      core.hookFailed("connectionData", error);
      this.#logins.refuse(protocol, ErrorCode.INTERNAL, "Internal server error");
      return;
    }
    this.#endLeaving();
    // The hooks may have stopped this server.
    if (protocol.state !== "authenticating") return;
    const token = this.#newToken();
    const login = { token, createdAt: this.#host.runtime.wallClock(), method: step.user.method };
    const { clientKinds } = this.#host;
    const connection = new Connection<C, D>(protocol, this.#host.connectionId(), login, step.user, data, clientKinds);
    this.#logins.leave(protocol);
    this.#descriptors.loggedIn();
    this.#loggedIn += 1;
    this.#clients.set(connection.id, protocol);
    protocol.peer = connection;
    this.#host.clientAdmitted(protocol);
    const { extensions } = core;
    // Without hooks the client needn't wait for READY.
    const agreement = extensions.accept(step.offer, connectHooks.isEmpty ? ready.name : undefined);
    const received = wanted === null ? null : (this.#sessions?.receivedOf(wanted, owner) ?? null);
    const expired = wanted === null ? {} : { expired: { ...(received === null ? {} : { received }), ...recalled } };
    const success = { session_token: token, server_info: this.#serverInfo, ...step.payload, ...expired };
    // A plain peer sent no extensions, and receives none.
    const isPlain = step.peer.netconduit;
    const answer = isPlain ? success : { ...success, extensions: extensions.answer(agreement) };
    protocol.sendPayload(FrameType.AUTH_SUCCESS, answer);
    if (isPlain) protocol.hold(NETCONDUIT_WELCOME_HOLD_MS);
    protocol.authenticated(step.peer, agreement);
    const resuming = protocol.extension(resume);
    if (resuming !== undefined) {
      this.#sessions?.add(protocol, owner, token);
      this.#host.storedSessions?.begin(resuming, owner, token, () => this.#endMoved(protocol));
    }
    if (recalled !== null) connection._restored({ unfinished: recalled.unfinished });
    if (step.user.expiresAt !== undefined) this.#watchExpiry(protocol, connection, protocol.stream);
    if (connectHooks.isEmpty) {
      protocol.setPhaseTimer(0);
      protocol.activate();
      return;
    }
    this.#runConnectHooks(protocol, connection, acceptedAt);
  }

  #newToken(): string {
    return toHex(this.#host.runtime.crypto.randomBytes(SESSION_TOKEN_BYTES));
  }

  /** The hooks decide whether a client may resume, as they could when it connected. */
  #mayResume(
    protocol: Protocol<C, D>,
    step: AcceptedStep,
    session: Session<Connection<C, D>>,
    wanted: ResumeRequest,
  ): void {
    const { core, resumeHooks } = this.#host;
    this.#setUserOf(session.protocol, step.user);
    if (resumeHooks.isEmpty) {
      this.#resume(protocol, step, session, wanted);
      return;
    }
    const connection = session.protocol.peer;
    void resumeHooks
      .run((error) => {
        if (!isInstance(error, RpcError)) {
          core.hookFailed("onClientResume", error, connection);
          return;
        }
        this.#logins.refuse(protocol, codeOf(error), messageOf(error));
        session.protocol.destroy(new ConduitError(codeOf(error), messageOf(error)));
      }, connection)
      .then(() => this.#resume(protocol, step, session, wanted));
  }

  #resume(
    protocol: Protocol<C, D>,
    step: AcceptedStep,
    session: Session<Connection<C, D>>,
    wanted: ResumeRequest,
  ): void {
    if (protocol.state !== "authenticating") return;
    const { protocol: kept } = session;
    // A client sends nothing before the answer. Its old stream may look alive.
    const sessions = this.#sessions as Sessions<Connection<C, D>>;
    const isPossible = protocol.undecodedBytes === 0 && sessions.find(wanted, session.owner) === session;
    if (isPossible) kept.streamFailed(new ConduitError(ErrorCode.CONNECTION_RESET, "The client has come back"));
    const { resumption } = protocol;
    if (!isPossible || kept.resumption === null || resumption === null || !kept.isSuspended) {
      protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The session can't be resumed"));
      return;
    }
    const { storedSessions } = this.#host;
    const resuming = kept.extension(resume);
    const hasNext = storedSessions !== null && resuming !== undefined;
    const latest = wanted.token === session.nextToken ? session.nextToken : session.token;
    const fresh = hasNext ? storedSessions.nextToken(resuming, latest) : this.#newToken();
    const token = sessions.resumed(session, wanted, fresh);
    if (resuming !== undefined) storedSessions?.resumed(resuming, token);
    this.#logins.leave(protocol);
    this.#loggedIn += 1;
    protocol.sendPayload(FrameType.AUTH_SUCCESS, {
      session_token: token,
      server_info: this.#serverInfo,
      ...step.payload,
      extensions: this.#host.core.extensions.answer(this.#host.core.extensions.accept(step.offer)),
      resumed: { received: kept.resumption.stream.received },
    });
    protocol.sendQueue.flush();
    kept.peer._resumed(token);
    this.#expiries.get(kept)?.end();
    this.#expiries.delete(kept);
    if (step.user.expiresAt !== undefined) this.#watchExpiry(kept, kept.peer, protocol.stream);
    kept.resumption.goOn(resumption.handOver(), wanted.received);
  }

  #watchExpiry(protocol: Protocol<C, D>, connection: Connection<C, D>, stream: ByteStream): void {
    const { core, runtime } = this.#host;
    const expiry = new IdentityExpiry(protocol, stream, protocol.extension(renewal) ?? null, connection.user, {
      wallClock: () => runtime.wallClock(),
      userOf: (token) => this.#logins.userOfToken(token),
      renewed: (user) => this.#setUserOf(protocol, user),
      failed: (error) => core.report(error, { stage: "login", name: "authenticate", client: connection }),
    });
    this.#expiries.set(protocol, expiry);
  }

  /** It may have other roles from now on. */
  #setUserOf(protocol: Protocol<C, D>, user: User): void {
    const { roles } = protocol.peer.user;
    protocol.peer._renew(user);
    this.#host.userChanged(protocol, roles);
  }

  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, options: UserOptions): Promise<void> {
    return this.#logins.setUser(name, options);
  }

  /** Removes a user and ends its connections. Returns their number. */
  revoke(name: string): number {
    this.#logins.revoke(name);
    const own = name === "" ? [] : [...this.#clients.values()].filter(({ peer }) => peer.user.name === name);
    const reason = { code: ErrorCode.IDENTITY_REVOKED, message: `The user '${name}' was revoked`, reconnect: false };
    for (const protocol of own) {
      if (protocol.isSuspended) protocol.destroy(new ConduitError(reason.code, reason.message));
      else void protocol.close(reason);
    }
    return own.length;
  }

  /** Makes room for a client: aborts the oldest closing connections while the places are used up. */
  #endLeaving(): void {
    for (const protocol of this.#leaving) {
      if (this.#clients.size + this.#leaving.size < this.#host.config.maxConnections) return;
      protocol.destroy(new ConduitError(ErrorCode.CONNECTION_CLOSED, "A new client needed the place"));
    }
  }

  #runConnectHooks(protocol: Protocol<C, D>, connection: Connection<C, D>, acceptedAt: number): void {
    const { core, config, runtime, connectHooks } = this.#host;
    const elapsedMs = runtime.now() - acceptedAt;
    protocol.setPhaseTimer(Math.max(1, config.connectionTimeoutMs - elapsedMs));
    const hooks = connectHooks
      .run((error) => {
        if (!isInstance(error, RpcError)) core.hookFailed("onClientConnect", error, connection);
        else void protocol.close({ code: codeOf(error), message: messageOf(error), reconnect: false });
      }, connection)
      .then(() => {
        this.#connectHooksRunning.delete(connection);
        if (protocol.isOpen) {
          protocol.setPhaseTimer(0);
          if (protocol.extension(ready) !== undefined) protocol.sendControl(READY_FRAME, 0, 0, "reply");
        }
        const refusal = protocol.closeReason;
        if (refusal?.byPeer === false) this.#logins.rejected(protocol.stream, refusal.code, refusal.message);
        // Even if the client has disconnected: its earlier messages are still handled.
        protocol.activate();
      });
    this.#connectHooksRunning.set(connection, hooks);
  }

  // --- ConnectionDelegate -------------------------------------------------------------------------------------------

  #phaseTimedOut(protocol: Protocol<C, D>): void {
    const { connectionTimeoutMs, authTimeoutMs } = this.#host.config;
    if (protocol.isAuthenticated) {
      const message = `The connection was not usable within connectionTimeoutMs ${connectionTimeoutMs}`;
      void protocol.close({ code: ErrorCode.CONNECT_TIMEOUT, message, reconnect: true });
    } else {
      this.#logins.refuse(protocol, ErrorCode.AUTH_TIMEOUT, `Login took longer than ${authTimeoutMs} ms`);
    }
  }

  #frameRefused(protocol: Protocol<C, D>, refusal: ConduitError, count: number): void {
    const error = protocol.isAuthenticated ? refusal : strangerError(refusal);
    const client = clientOf(protocol);
    const stage =
      error.code === ErrorCode.RATE_LIMITED ? "rate-limit" : protocol.isAuthenticated ? "protocol" : "login";
    const remoteAddress = formatAddress(protocol.stream.remote);
    if (!protocol.isAuthenticated) this.#logins.rejected(protocol.stream, error.code, error.message);
    this.#host.core.report(error, { stage, remoteAddress, count, ...(client === undefined ? {} : { client }) });
  }

  #suspended(protocol: Protocol<C, D>): void {
    if (this.#host.isOpen() || this.#isDraining) this.#sessions?.suspended(protocol);
    else endStopped(protocol);
  }

  #connectionClosing(protocol: Protocol<C, D>): void {
    const connection = clientOf(protocol);
    if (connection === undefined) return;
    this.#clients.delete(connection.id);
    this.#leaving.add(protocol);
    this.#host.clientEnded(protocol);
  }

  #connectionClosed(protocol: Protocol<C, D>, reason: CloseReason): void {
    const { core, disconnectHooks } = this.#host;
    this.#buffers.count(protocol);
    this.#sessions?.ended(protocol);
    const resuming = protocol.extension(resume);
    const isStopping = reason.code === ErrorCode.SERVER_STOPPING && !reason.byPeer;
    const isKept = isStopping || this.#moved.has(protocol);
    if (resuming !== undefined) this.#host.storedSessions?.ended(resuming, isKept);
    this.#logins.leave(protocol);
    const connection = clientOf(protocol);
    if (connection === undefined) return;
    this.#expiries.get(protocol)?.end();
    this.#expiries.delete(protocol);
    this.#clients.delete(connection.id);
    this.#leaving.delete(protocol);
    this.#host.clientEnded(protocol);
    if (disconnectHooks.isEmpty) return;
    const onError = (error: unknown): void => core.hookFailed("onClientDisconnect", error, connection);
    const run = (): Promise<void> => disconnectHooks.run(onError, connection, reason);
    const before = this.#connectHooksRunning.get(connection);
    const done = before === undefined ? run() : before.then(run);
    this.#disconnectHooksRunning.add(done);
    void done.then(() => this.#disconnectHooksRunning.delete(done));
  }
}

/** Takes what the client sent before it knew, then refuses requests. Resolves when all that were taken have finished. */
async function drainConnection<Peer>(protocol: ProtocolConnection<Peer>, notice: DrainNotice): Promise<void> {
  protocol.startDraining();
  const state = protocol.isOpen ? protocol.extension(drain) : undefined;
  if (state !== undefined) await askToDrain(state, notice);
  const details = { retry_after: (notice.endsInMs + notice.retryAfterMs) / 1000, started: false };
  protocol.scheduler.refuseNew(new RpcError(ErrorCode.SERVER_STOPPING, "The server is stopping", { details }));
  await protocol.scheduler.idle();
  // With CLOSE the session ends: its client must have everything by then.
  await protocol.extension(resume)?.delivered();
}

/**
 * Whether the server has anything for a client that is away: frames it hasn't received, or answers of running handlers.
 */
function owesAnything<Peer>({ resumption, scheduler, sendQueue }: ProtocolConnection<Peer>): boolean {
  // Frames of this turn count, too.
  sendQueue.flush();
  const isBusy = scheduler.runningHandlers > 0 || scheduler.queuedHandlers > 0;
  return isBusy || (resumption?.lostFrames ?? 0) > 0;
}

/** Ends a session without a stream, because no client can resume it any more. */
function endStopped<Peer>(protocol: ProtocolConnection<Peer>): void {
  protocol.destroy(new ConduitError(ErrorCode.SERVER_STOPPING, "The server stopped before the client came back"));
}

/** Whose session it is, for comparison. */
function ownerOf({ user }: AcceptedStep): string {
  return JSON.stringify([user.method, user.name]);
}

/** The connection of a logged-in client. */
function clientOf<Peer>(protocol: ProtocolConnection<Peer>): Peer | undefined {
  return protocol.peer;
}

const ignore = (): void => undefined;

/** A UUID. Node.js adds it up from 20 parts, which the string keeps; joined, it takes 0.5 KiB less. */
export function newConnectionId(): string {
  return crypto.randomUUID().split("-").join("-");
}
