/**
 * A server's connections, from the accept to the end.
 *
 * Theory of operation. A stream is accepted if there are enough file descriptors. Its connection is pending, and
 * managed by the login manager, until it has logged in. Then it becomes a client, if fewer than `maxConnections` are
 * connected. A closing connection is *leaving*: it receives no more messages, and keeps its place until its stream
 * has ended or a new client needs the place.
 */

import { infoPayload } from "../auth/peer-info.ts";
import type { User } from "../auth/user.ts";
import type { UserEntry, VerifiedUser } from "../auth/users.ts";
import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ResumableStream } from "../bytes/resumable-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { ConnectionDelegate } from "../connection/connection-endpoint.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import type { DrainNotice } from "../connection/extension.ts";
import { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { askToDrain, drain } from "../extensions/drain.ts";
import { READY_FRAME, ready } from "../extensions/ready.ts";
import { resume } from "../extensions/resume/resume.ts";
import { NETCONDUIT_WELCOME_HOLD_MS, REPORT_WINDOW_MS } from "../limits.ts";
import type { ClientKinds } from "../rpc/client-kinds.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { FrameType } from "../wire/constants.ts";
import { BufferBudget } from "./buffer-budget.ts";
import { ClientSessions, newToken, type ResumableSession } from "./client-sessions.ts";
import { Connection } from "./connection.ts";
import { DescriptorGuard } from "./descriptor-guard.ts";
import { IdentityExpiries } from "./identity-expiries.ts";
import { type AcceptedStep, LoginManager } from "./login-manager.ts";
import { withProtocolHint } from "./protocol-hint.ts";
import type { ClientConnectionHooks } from "./server-hooks.ts";
import type { ServerConfig } from "./server-options.ts";
import { resumeRequest } from "./sessions.ts";
import type { RecalledSession, SessionPlace, StoredSessions } from "./stored-sessions.ts";

/** Counters of a server since its creation. */
export interface ServerStats {
  /** Connections accepted. */
  readonly accepted: number;
  /** Clients logged in. */
  readonly loggedIn: number;
  /** Logins rejected with AUTH_FAILED: wrong password, invalid token, unknown certificate, revoked user. */
  readonly authFailures: number;
  /** Connections rejected for any reason, including `authFailures` and rejections by `onClientConnect` hooks. */
  readonly rejected: number;
}

/** The server of {@link ServerConnections}. */
export interface ServerConnectionsHost<C extends Contract, D extends object> {
  readonly runtime: Runtime;
  readonly core: EndpointCore<Connection<C, D>>;
  readonly config: ServerConfig;
  readonly hooks: ClientConnectionHooks<Connection<C, D>>;
  /** Creates the initial `connection.data`; undefined for an empty object. */
  readonly connectionData: (() => D) | undefined;
  /** Null if the contract has no kinds of clients. */
  readonly clientKinds: ClientKinds | null;
  /** The roles of a connection's user may have changed. */
  userChanged(protocol: ProtocolConnection<Connection<C, D>>, formerRoles: readonly string[]): void;
  /** The id of the next connection. */
  connectionId(): string;
  /** Ends a session on another node. Resolves with whether it was there; false if there is no answer within `timeoutMs`. */
  releaseFrom(node: SessionPlace, key: string, timeoutMs: number): Promise<boolean>;
  /** A client has logged in. */
  clientAdmitted(protocol: ProtocolConnection<Connection<C, D>>): void;
  /** A client's connection is closing or has ended. */
  clientEnded(protocol: ProtocolConnection<Connection<C, D>>): void;
  /** Stores the part of sessions that outlives the process; null without a store. */
  readonly storedSessions: StoredSessions | null;
  /** Whether clients are accepted now. */
  isOpen(): boolean;
}

type Protocol<C extends Contract, D extends object> = ProtocolConnection<Connection<C, D>>;

export class ServerConnections<C extends Contract, D extends object> {
  readonly #host: ServerConnectionsHost<C, D>;
  readonly #delegate: ConnectionDelegate<Protocol<C, D>>;
  readonly #serverInfo: Readonly<Record<string, string>>;
  readonly #logins: LoginManager<Connection<C, D>>;
  readonly #clients = new Map<string, Protocol<C, D>>();
  /** Closing connections, oldest first. They count towards `maxConnections` until their streams have ended. */
  readonly #leaving = new Set<Protocol<C, D>>();
  readonly #descriptors = new DescriptorGuard();
  readonly #buffers: BufferBudget;
  /** Null if sessions end with their streams. */
  readonly #sessions: ClientSessions<Connection<C, D>> | null;
  /** Merges reports of failed accepts by code. */
  readonly #acceptReports = new ReportWindows<ConduitError>(REPORT_WINDOW_MS);
  readonly #expiries: IdentityExpiries<Connection<C, D>>;
  /** Whether clients whose streams are lost may still resume, although the server is stopping. */
  #isDraining = false;
  #accepted = 0;
  #loggedIn = 0;
  #keepsRunning = true;

  constructor(host: ServerConnectionsHost<C, D>) {
    const { core, config, runtime } = host;
    this.#host = host;
    this.#serverInfo = infoPayload(config);
    this.#sessions =
      config.resume === null
        ? null
        : new ClientSessions({
            context: core.runtimeContext,
            windowMs: config.resume.windowMs,
            stored: host.storedSessions,
            releaseFrom: (node, key, timeoutMs) => host.releaseFrom(node, key, timeoutMs),
          });
    this.#buffers = new BufferBudget(config.maxBufferedBytes, (task) => runtime.defer(task));
    this.#delegate = {
      role: "server",
      phaseTimedOut: (protocol) => this.#phaseTimedOut(protocol),
      frameRefused: (protocol, error, count) => this.#frameRefused(protocol, error, count),
      connectionReady: ignore,
      connectionDraining: ignore,
      connectionSuspended: (protocol) => this.#suspended(protocol),
      connectionClosing: (protocol) => this.#connectionClosing(protocol),
      connectionClosed: (protocol, reason) => this.#connectionClosed(protocol, reason),
      buffers: this.#buffers,
    };
    this.#logins = new LoginManager({
      runtime,
      runtimeContext: core.runtimeContext,
      config,
      refusal: (wanted) => this.#refusal(wanted),
      admit: (protocol, step, acceptedAt, recalled) => this.#admit(protocol, step, acceptedAt, recalled),
      mustRecall: (step) => this.#sessions?.mustRecall(step) === true,
      recall: async (step, timeoutMs) => (await this.#sessions?.recall(step, timeoutMs)) ?? null,
      rejected: (rejection) => host.hooks.notifyRejected(rejection),
      lookupFailed: (error, stream) =>
        core.report(error, { stage: "login", name: "authenticate", remoteAddress: formatAddress(stream.remote) }),
    });
    this.#expiries = new IdentityExpiries({
      wallClock: () => runtime.wallClock(),
      userOf: (token, stream) => this.#logins.userOfToken(token, stream),
      renewed: (protocol, user) => this.#setUserOf(protocol, user),
      failed: (connection, error) => core.report(error, { stage: "login", name: "authenticate", client: connection }),
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

  /** Must be called before each start, before any connection. */
  prepare(): Promise<void> {
    return this.#logins.prepare();
  }

  /** The server is listening. @param maxSockets how many sockets the process has descriptors for; undefined if unknown */
  listening(maxSockets: number | undefined): void {
    this.#descriptors.start(maxSockets);
  }

  accept(stream: ByteStream): void {
    this.#accepted += 1;
    if (!this.#host.isOpen() && !this.#isDraining) {
      this.#logins.turnAway(stream);
      return;
    }
    if (!this.#ensureDescriptor()) {
      stream.destroy(new ConduitError(ErrorCode.CONNECTION_ERROR, "Short of file descriptors"));
      return;
    }
    const machine = new ConnectionStateMachine(this.#host.core);
    machine.transition("accepted", { message: "Accepted" });
    const carried = this.#sessions === null ? stream : new ResumableStream(stream);
    if (!this.#keepsRunning) carried.unref?.();
    this.#logins.begin(new ProtocolConnection(this.#host.core, this.#delegate, carried, machine));
  }

  /**
   * Reports a connection that failed before it was accepted, at most once a second for each code, with their number;
   * the rest when the server stops.
   */
  acceptFailed(error: ConduitError): void {
    const count = this.#acceptReports.add(error.code, error, this.#host.runtime.now());
    if (count > 0) this.#host.core.report(error, { stage: "accept", count });
  }

  /** The system has no descriptors or memory for more sockets: closes pending logins. */
  exhausted(error: ConduitError): void {
    this.acceptFailed(error);
    const max = this.#descriptors.exhausted(this.#logins.size);
    while (this.#logins.size > max) this.#logins.dropOldest();
  }

  /** The server is stopping. */
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
   * Asks clients to stop sending. Resolves when no connection has requests left, and resuming clients have received
   * everything. Clients whose streams are lost may resume in the meantime; sessions of disconnected clients end
   * immediately if the server has nothing for them.
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

  #all(): Protocol<C, D>[] {
    return [...this.#logins.pending, ...this.#clients.values(), ...this.#leaving];
  }

  // --- admission ----------------------------------------------------------------------------------------------------

  /** Closes a pending login if there is no descriptor for another connection. Returns whether there is one now. */
  #ensureDescriptor(): boolean {
    const pending = this.#logins.size;
    const open = pending + this.#clients.size + this.#leaving.size - (this.#sessions?.live.suspendedCount ?? 0);
    if (this.#descriptors.hasRoom(open, pending)) return true;
    this.acceptFailed(this.#descriptors.error(open));
    return this.#logins.dropOldest();
  }

  #refusal(wanted: unknown): { code: number; message: string } | null {
    // A resuming client already has its place.
    if (this.#sessions?.live.has(resumeRequest(wanted)) === true) return null;
    if (!this.#host.isOpen()) return { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping" };
    const { maxConnections } = this.#host.config;
    // Sessions without a stream make room.
    if (this.#clients.size < maxConnections || (this.#sessions?.live.suspendedCount ?? 0) > 0) return null;
    return { code: ErrorCode.SERVER_FULL, message: `Server full: ${maxConnections} clients are connected` };
  }

  #admit(protocol: Protocol<C, D>, step: AcceptedStep, acceptedAt: number, recalled: RecalledSession | null): void {
    const { core, hooks } = this.#host;
    const sessions = this.#sessions;
    const resumable = sessions?.find(step) ?? null;
    if (sessions !== null && resumable !== null) {
      this.#runResumeHooks(protocol, step, sessions, resumable);
      return;
    }
    // The client may have been let through for a session that it can't resume after all.
    const refusal = this.#refusal(null);
    if (refusal !== null) {
      this.#logins.refuse(protocol, refusal.code, refusal.message);
      return;
    }
    if (this.#clients.size >= this.#host.config.maxConnections) sessions?.live.endOldest();
    let data: D | undefined;
    try {
      data = this.#host.connectionData?.();
    } catch (error) {
      core.hookFailed("connectionData", error);
      this.#logins.refuse(protocol, ErrorCode.INTERNAL, "Internal server error");
      return;
    }
    this.#endLeaving();
    // A hook may have stopped this server.
    if (protocol.state !== "authenticating") return;
    const token = newToken(core.runtimeContext);
    const login = { token, createdAt: this.#host.runtime.wallClock(), method: step.user.method };
    const { clientKinds } = this.#host;
    const connection = new Connection<C, D>(protocol, this.#host.connectionId(), login, step.user, data, {
      kinds: clientKinds,
      stored: this.#host.storedSessions,
    });
    this.#logins.leave(protocol);
    this.#descriptors.loggedIn();
    this.#loggedIn += 1;
    this.#clients.set(connection.id, protocol);
    protocol.peer = connection;
    this.#host.clientAdmitted(protocol);
    const { extensions } = core;
    // Without hooks, the client doesn't have to wait for READY.
    const agreement = extensions.accept(step.offer, hooks.connect.isEmpty ? ready.name : undefined);
    const expired = sessions?.expired(step, recalled);
    const success = { session_token: token, server_info: this.#serverInfo, ...step.payload, ...expired };
    // Plain peers have no extensions.
    const isPlain = step.peer.netconduit;
    const answer = isPlain ? success : { ...success, extensions: extensions.answer(agreement) };
    protocol.sendPayload(FrameType.AUTH_SUCCESS, answer);
    if (isPlain) protocol.hold(NETCONDUIT_WELCOME_HOLD_MS);
    protocol.authenticated(step.peer, agreement);
    sessions?.begin(protocol, step, token, recalled);
    if (recalled !== null) connection._restored({ unfinished: recalled.unfinished }, recalled.outbox !== null);
    this.#expiries.watch(protocol, protocol.stream);
    if (hooks.connect.isEmpty) {
      protocol.setPhaseTimer(0);
      protocol.activate();
      return;
    }
    this.#runConnectHooks(protocol, connection, acceptedAt);
  }

  /** Resumes a session if the hooks allow it. */
  #runResumeHooks(
    protocol: Protocol<C, D>,
    step: AcceptedStep,
    sessions: ClientSessions<Connection<C, D>>,
    resumable: ResumableSession<Connection<C, D>>,
  ): void {
    const { hooks } = this.#host;
    const kept = resumable.session.protocol;
    this.#setUserOf(kept, step.user);
    if (hooks.resume.isEmpty) {
      this.#resume(protocol, step, sessions, resumable);
      return;
    }
    const refused = (code: number, message: string): void => {
      this.#logins.refuse(protocol, code, message);
      kept.destroy(new ConduitError(code, message));
    };
    void hooks.resuming(kept.peer, refused).then(() => this.#resume(protocol, step, sessions, resumable));
  }

  #resume(
    protocol: Protocol<C, D>,
    step: AcceptedStep,
    sessions: ClientSessions<Connection<C, D>>,
    resumable: ResumableSession<Connection<C, D>>,
  ): void {
    if (protocol.state !== "authenticating") return;
    const { extensions } = this.#host.core;
    const kept = resumable.session.protocol;
    const goesOn = sessions.resume(protocol, resumable, (token, received) => {
      this.#logins.leave(protocol);
      this.#loggedIn += 1;
      protocol.sendPayload(FrameType.AUTH_SUCCESS, {
        session_token: token,
        server_info: this.#serverInfo,
        ...step.payload,
        extensions: extensions.answer(extensions.accept(step.offer)),
        resumed: { received },
      });
      protocol.sendQueue.flush();
      kept.peer._resumed(token);
      this.#expiries.watch(kept, protocol.stream);
    });
    if (!goesOn) protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The session can't be resumed"));
  }

  /** Sets the connection's user, whose roles may differ. */
  #setUserOf(protocol: Protocol<C, D>, user: User): void {
    const { roles } = protocol.peer.user;
    protocol.peer._renew(user);
    this.#host.userChanged(protocol, roles);
  }

  /** Replaces the password of a user by a verifier. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  async verifiedUser(name: string, user: UserEntry): Promise<VerifiedUser> {
    return this.#logins.users().verified(name, user);
  }

  /** Adds or replaces a user. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, user: VerifiedUser): void {
    this.#logins.setUser(name, user);
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

  /** Makes room for a client by aborting the oldest closing connections. */
  #endLeaving(): void {
    for (const protocol of this.#leaving) {
      if (this.#clients.size + this.#leaving.size < this.#host.config.maxConnections) return;
      protocol.destroy(new ConduitError(ErrorCode.CONNECTION_CLOSED, "A new client needed the place"));
    }
  }

  #runConnectHooks(protocol: Protocol<C, D>, connection: Connection<C, D>, acceptedAt: number): void {
    const { config, runtime, hooks } = this.#host;
    const elapsedMs = runtime.now() - acceptedAt;
    protocol.setPhaseTimer(Math.max(1, config.connectionTimeoutMs - elapsedMs));
    const refused = (code: number, message: string): void => void protocol.close({ code, message, reconnect: false });
    hooks.connected(connection, refused, () => {
      if (protocol.isOpen) {
        protocol.setPhaseTimer(0);
        if (protocol.extension(ready) !== undefined) protocol.sendControl(READY_FRAME, 0, 0, "reply");
      }
      const refusal = protocol.closeReason;
      if (refusal?.byPeer === false) this.#logins.rejected(protocol.stream, refusal.code, refusal.message);
      // Even if the client has disconnected, because its earlier messages are still handled.
      protocol.activate();
    });
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
    const error = protocol.isAuthenticated ? refusal : withProtocolHint(refusal);
    const client = clientOf(protocol);
    const phase = protocol.isAuthenticated ? "protocol" : "login";
    const stage = error.code === ErrorCode.RATE_LIMITED ? "rate-limit" : phase;
    const remoteAddress = formatAddress(protocol.stream.remote);
    if (!protocol.isAuthenticated) this.#logins.rejected(protocol.stream, error.code, error.message);
    this.#host.core.report(error, { stage, remoteAddress, count, ...(client === undefined ? {} : { client }) });
  }

  #suspended(protocol: Protocol<C, D>): void {
    if (this.#host.isOpen() || this.#isDraining) this.#sessions?.live.suspended(protocol);
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
    this.#buffers.count(protocol);
    this.#sessions?.ended(protocol, reason);
    this.#logins.leave(protocol);
    const connection = clientOf(protocol);
    if (connection === undefined) return;
    this.#expiries.end(protocol);
    connection._endPauses();
    this.#clients.delete(connection.id);
    this.#leaving.delete(protocol);
    this.#host.clientEnded(protocol);
    this.#host.hooks.disconnected(connection, reason);
  }
}

/** Accepts requests that the client sent before it knew, then rejects others. Resolves when all accepted ones have finished. */
async function drainConnection<Peer>(protocol: ProtocolConnection<Peer>, notice: DrainNotice): Promise<void> {
  protocol.startDraining();
  const state = protocol.isOpen ? protocol.extension(drain) : undefined;
  const details = { retry_after: (notice.endsInMs + notice.retryAfterMs) / 1000, started: false };
  const refusal = new RpcError(ErrorCode.SERVER_STOPPING, "The server is stopping", { details });
  const refuse = (): void => protocol.scheduler.refuseNew(refusal);
  if (state === undefined) refuse();
  else await askToDrain(state, notice, refuse);
  await protocol.scheduler.idle();
  // CLOSE ends the session, so its client must have received everything by then.
  await protocol.extension(resume)?.delivered();
}

/**
 * Whether the server owes a disconnected client anything: unreceived frames, or answers of running handlers.
 */
function owesAnything<Peer>({ resumption, scheduler, sendQueue }: ProtocolConnection<Peer>): boolean {
  // Include the frames of this turn.
  sendQueue.flush();
  const isBusy = scheduler.runningHandlers > 0 || scheduler.queuedHandlers > 0;
  return isBusy || (resumption?.lostFrames ?? 0) > 0;
}

/** Ends a session without a stream that can no longer be resumed. */
function endStopped<Peer>(protocol: ProtocolConnection<Peer>): void {
  protocol.destroy(new ConduitError(ErrorCode.SERVER_STOPPING, "The server stopped before the client reconnected"));
}

/** The connection of a logged-in client. */
function clientOf<Peer>(protocol: ProtocolConnection<Peer>): Peer | undefined {
  return protocol.peer;
}

const ignore = (): void => undefined;

/** A UUID. Node.js concatenates it from 20 parts, which the string keeps alive; a joined copy takes 0.5 KiB less. */
export function newConnectionId(): string {
  return crypto.randomUUID().split("-").join("-");
}
