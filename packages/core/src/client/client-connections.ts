/**
 * A client's connections, from dialling to the end.
 *
 * Theory of operation. There is one connection at a time. The reconnector decides when a client dials. A login
 * results in either a new connection, or a stream for a connection that has lost its own (`WaitingSession`). Messages
 * and calls made during a login wait until it ends (`WaitingMessages`).
 */

import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { type CloseReason, errorOf } from "../connection/close-reason.ts";
import type { ConnectionDelegate } from "../connection/connection-endpoint.ts";
import type { StreamConnection } from "../connection/connection-sender.ts";
import {
  type ConnectionState,
  ConnectionStateMachine,
  type StateChange,
  StateListeners,
} from "../connection/connection-state.ts";
import type { DrainNotice } from "../connection/extension.ts";
import { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { MessageAttempts } from "../endpoint/acknowledged-send.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { asConduitError, asError, type Called, type ConduitError, codeOf, ErrorCode, messageOf } from "../errors.ts";
import { ready } from "../extensions/ready.ts";
import { topic } from "../extensions/topics/topic.ts";
import type { Runtime } from "../runtime.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { ConnectionHooks } from "./client-hooks.ts";
import { type AcceptedLogin, ClientLogin, type ClientLoginHost } from "./client-login.ts";
import type { ClientConfig } from "./client-options.ts";
import { CredentialRenewal } from "./credential-renewal.ts";
import type { DialController } from "./dial-controller.ts";
import { EarlyLeave } from "./early-leave.ts";
import { mustQueue, serverStopping, whyNoStream } from "./must-queue.ts";
import type { OfflineHost } from "./offline-sender.ts";
import {
  type AfterFailure,
  calledOff,
  endpointOf,
  type FailedAttempt,
  Reconnector,
  type ReconnectorHost,
} from "./reconnector.ts";
import type { Subscriptions } from "./topics/subscriptions.ts";
import { WaitingMessages } from "./waiting-messages.ts";
import { type ResumableSession, WaitingSession } from "./waiting-session.ts";

/** The last login. */
export interface LastLogin<Peer> {
  readonly connection: ProtocolConnection<Peer>;
  readonly token: string;
  /** Unix milliseconds. */
  readonly connectedAt: number;
}

/** The client of {@link ClientConnections}. */
export interface ClientConnectionsHost<Peer> {
  readonly peer: Peer;
  readonly hooks: ConnectionHooks;
  /** Null until there are any. */
  subscriptions(): Subscriptions | null;
  /** A login is complete. */
  connected(): void;
  /** A connection has ended. */
  disconnected(): void;
  /** There will be no further connection unless the application calls `connect`. @param reason creates the error, if needed */
  gaveUp(reason: () => Error): void;
}

export class ClientConnections<Peer>
  implements ConnectionDelegate<ProtocolConnection<Peer>>, ClientLoginHost<Peer>, ReconnectorHost, OfflineHost
{
  readonly role = "client";
  readonly buffers = null;
  readonly renewal: CredentialRenewal;
  readonly #core: EndpointCore<Peer>;
  readonly #config: ClientConfig;
  readonly #host: ClientConnectionsHost<Peer>;
  readonly #stateListeners: StateListeners;
  /** State machine of the current attempt and its connection. */
  #machine: ConnectionStateMachine;
  readonly #login: ClientLogin<Peer>;
  readonly #waiting: WaitingSession<Peer>;
  readonly #messages: WaitingMessages<Peer>;
  readonly #reconnector: Reconnector<Peer>;
  #connection: ProtocolConnection<Peer> | null = null;
  #lastLogin: LastLogin<Peer> | null = null;
  /** Null until the client leaves a stopping server early. */
  #earlyLeave: EarlyLeave<Peer> | null = null;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, host: ClientConnectionsHost<Peer>) {
    this.#core = core;
    this.#config = config;
    this.#host = host;
    this.#login = new ClientLogin(core, config, this);
    core.hookStarted = (_client, running, bytes) => this.#connection?.scheduler.hookStarted(running, bytes);
    this.renewal = new CredentialRenewal(config, (error) => core.hookFailed("onCredentialsExpiring", error));
    this.#stateListeners = new StateListeners(core);
    this.#machine = new ConnectionStateMachine(core, "disconnected", this.#stateListeners);
    this.#messages = new WaitingMessages(core, config, this);
    this.#waiting = new WaitingSession(core.runtimeContext, this.#messages);
    this.#reconnector = new Reconnector(core, config, this);
  }

  get state(): ConnectionState {
    return this.#machine.state;
  }

  onStateChange(listener: (change: StateChange) => unknown): Disposer {
    return this.#stateListeners.add(listener);
  }

  /** Null before the first. */
  get lastLogin(): LastLogin<Peer> | null {
    return this.#lastLogin;
  }

  /** Number of attempts to connect since the last stable connection. */
  get attempts(): number {
    return this.#reconnector.attempts;
  }

  /** Whether a connection was lost and the client keeps trying to replace it. */
  get isReconnecting(): boolean {
    return this.#reconnector.isReconnecting;
  }

  /** Whether a login is complete, and its connection is neither closing nor waiting for a new stream. */
  get isReady(): boolean {
    const { state } = this;
    return state === "active" || state === "paused" || state === "draining";
  }

  /** The connection for sending. While it has no stream, it queues everything. */
  get current(): ProtocolConnection<Peer> | null {
    return this.#waiting.connection ?? this.#connection;
  }

  /**
   * The connection, if it accepts calls. It does so while it waits for a new stream, including during a login, but
   * not before its own login is complete, because calls would overtake waiting messages.
   */
  get usable(): ProtocolConnection<Peer> | null {
    const connection = this.#open;
    return connection !== null && !this.#login.isFor(connection) ? connection : null;
  }

  /** The connection, if its server accepts calls, possibly once its connect hooks have finished. */
  get #open(): ProtocolConnection<Peer> | null {
    const connection = this.current;
    return connection?.isOpen === true && connection.draining === null ? connection : null;
  }

  /** Accepts messages and calls. */
  get outgoing(): Outgoing {
    return this.usable?.sender ?? this.#messages.sender;
  }

  /** Where the attempts of a message with `ack` go. */
  messageAttempts(): MessageAttempts {
    return this.#messages.attempts(() => this.usable?.sender ?? null);
  }

  /** Whether there is a connection, or may be one later. */
  get mayConnect(): boolean {
    return this.#reconnector.mayConnect(this.#connection?.closeReason ?? null);
  }

  /** Whether there will be no further connection unless the application calls `connect`. */
  get hasEnded(): boolean {
    return !this.#reconnector.mayConnect(null);
  }

  /** Connects now, or joins the current attempt. */
  connect(): Promise<void> {
    return this.#reconnector.connect();
  }

  /** `connect` has failed: retries as after a lost connection, or gives up if the client doesn't reconnect. */
  tryAgain(error: unknown): void {
    const { attempts } = this.#reconnector;
    if (this.#reconnector.tryAgain(error)) this.attemptFailed({ error: asError(error), attempts });
    else if (this.current === null && !this.#reconnector.isConnecting) this.#host.gaveUp(() => asError(error));
  }

  /** Stops dialling and rejects waiting messages; `closeAll` must follow. Returns a promise of the current attempt's end; null for none. */
  callOff(): Promise<void> | null {
    const dial = this.#reconnector.callOff(calledOff);
    this.#messages.giveUp(calledOff);
    return dial;
  }

  /**
   * Closes the connection, and waits until its uploads have closed their files.
   * @param dial the attempt that `callOff` has aborted
   * @returns false if the application has called `connect` in the meantime
   */
  async closeAll(message: string, dial: Promise<void> | null): Promise<boolean> {
    const request = { code: ErrorCode.CONNECTION_CLOSED, message, reconnect: false };
    const { connection: waiting } = this.#waiting;
    await this.#connection?.close(request);
    await waiting?.close(request);
    await this.#core.uploadsKept(this.#config.closeTimeoutMs);
    if (dial !== null) await dial.catch(ignore);
    if (!this.#reconnector.isCalledOff) return false;
    if (this.state === "failed") this.#machine.transition("close", { message });
    return true;
  }

  /** There will be no further connection. @param reason creates the error, if anything is waiting */
  giveUp(reason: () => Error): void {
    this.#waiting.connection?.destroy(asConduitError(reason()));
    this.#messages.giveUp(reason);
  }

  /** Whether the connection, and waiting to reconnect, keep the process running. */
  set keepsRunning(keepsRunning: boolean) {
    this.#reconnector.keepsRunning = keepsRunning;
    const stream = this.current?.stream;
    if (keepsRunning) stream?.ref?.();
    // A login in progress still keeps it running.
    else if (this.#lastLogin?.connection.isOver === false) stream?.unref?.();
  }

  // --- messages that wait -------------------------------------------------------------------------------------------

  get rpcTimeoutMs(): number {
    return this.#config.rpcTimeoutMs;
  }

  get writer(): FrameWriter {
    return this.#core.writer;
  }

  get clock(): Runtime {
    return this.#core.runtimeContext.runtime;
  }

  mustQueue(called: Called, isAttempt: boolean): void {
    const { state } = this;
    const [config, connection, reconnector] = [this.#config, this.#connection, this.#reconnector];
    mustQueue(called, isAttempt, { config, state, connection, reconnector });
  }

  isTemporary(): boolean {
    return this.#connection !== null || this.#reconnector.isConnecting;
  }

  streamConnection(): StreamConnection | null {
    return this.#open?.sender.streamConnection() ?? null;
  }

  whyNoStream(): string {
    return whyNoStream({ state: this.state, reconnector: this.#reconnector });
  }

  sendFailed(error: Error, stage: "message" | "rpc", name: string): void {
    this.#core.reportError(error, stage, undefined, name);
  }

  // --- dialling ------------------------------------------------------------------------------------------------------

  async dial(abort: DialController): Promise<void> {
    const connection = this.#connection;
    // Wait until a closing connection has closed. A connection that has just lost its stream is resumed over the next one.
    if (connection !== null && !connection.isSuspended) {
      const reason = { code: ErrorCode.CONNECTION_CLOSED, message: "Replaced by a new connection", reconnect: false };
      await abort.race(connection.close(reason));
    }
    abort.throwIfAborted();
    this.#machine = new ConnectionStateMachine(this.#core, this.#machine.state, this.#stateListeners);
    this.#machine.transition("dial", { message: `Connecting to ${endpointOf(this.#config)}` });
    await this.#login.run(abort);
  }

  isFinal(error: unknown): boolean {
    return this.#login.isFinal(error);
  }

  dialFailed(error: ConduitError, next: AfterFailure): void {
    const connection = this.#connection;
    if (connection !== null && !connection.isOver) connection.destroy(error);
    this.#connection = null;
    // May be any value, thrown by a password function.
    const [code, message] = [codeOf(error), messageOf(error)];
    if (this.#machine.allows("fail")) this.#machine.transition("fail", { code, message });
    if (next === "none") this.#host.gaveUp(() => error);
    else this.#messages.loginFailed(error, next === "another");
  }

  loginHooks(again: boolean): Promise<void> | null {
    const { hooks } = this.#host;
    const { resumed } = this.#waiting;
    if (resumed === null) return hooks.connected(again);
    hooks.notifyResumed(resumed);
    return null;
  }

  attemptFailed(attempt: FailedAttempt): void {
    if (this.#host.hooks.notifyAttemptFailed(attempt)) return;
    this.#core.report(attempt.error, { stage: "reconnect" });
  }

  session(): { readonly token: string; readonly received: number } | undefined {
    return this.#waiting.request(this.#lastLogin?.token);
  }

  streamOpened(stream: ByteStream): ProtocolConnection<Peer> {
    this.#machine.transition("opened", { message: `Connected to ${formatAddress(stream.remote)}` });
    const connection = new ProtocolConnection(this.#core, this, stream, this.#machine);
    connection.peer = this.#host.peer;
    this.#connection = connection;
    return connection;
  }

  /** @throws ConduitError if the server's answer about a session is invalid */
  accepted(connection: ProtocolConnection<Peer>, answer: AcceptedLogin): void | Promise<void> {
    const hadSession = this.#waiting.connection !== null;
    const resumable = this.#waiting.answered(answer);
    if (resumable !== null) {
      this.#resume(connection, resumable, answer.sessionToken);
      return;
    }
    if (!hadSession) {
      this.#loggedIn(connection, answer);
      return;
    }
    // Let its messages with `ack` take their places in the queue first.
    return new Promise<void>((resolve) => this.#core.runtimeContext.runtime.defer(resolve)).then(() => {
      if (!connection.isOver && this.#login.isFor(connection)) this.#loggedIn(connection, answer);
    });
  }

  #loggedIn(connection: ProtocolConnection<Peer>, answer: AcceptedLogin): void {
    if (!this.#reconnector.keepsRunning) connection.stream.unref?.();
    const connectedAt = this.#core.runtimeContext.runtime.wallClock();
    this.#lastLogin = { connection, token: answer.sessionToken, connectedAt };
    connection.authenticated(answer.server, this.#core.extensions.accept(answer.extensions));
    this.renewal.watch(connection);
    // The server's connect hooks may subscribe this client.
    this.receiveTopics(connection);
    // Handlers may run during the server's connect hooks, because these may call the client.
    if (connection.extension(ready) === undefined) this.connectionReady(connection);
    else connection.scheduler.activate();
  }

  /** Passes topic frames of a connection to the subscriptions, if there are any. */
  receiveTopics(connection: ProtocolConnection<Peer> | null = this.current): void {
    const subscriptions = this.#host.subscriptions();
    const topics = subscriptions === null ? undefined : connection?.extension(topic);
    if (topics !== undefined) topics.receiver = subscriptions;
  }

  /** Resumes the session over the stream of a new login. */
  #resume(connection: ProtocolConnection<Peer>, session: ResumableSession<Peer>, token: string): void {
    this.#login.succeed();
    this.#connection = session.connection;
    if (this.#lastLogin !== null) this.#lastLogin = { ...this.#lastLogin, token };
    this.#reconnector.loggedIn();
    this.#waiting.resume(session, connection, this.#machine);
    this.#host.connected();
  }

  /** The login is complete, and the server's connect hooks have admitted this client. */
  connectionReady(connection: ProtocolConnection<Peer>): void {
    if (!this.#login.isFor(connection)) return;
    this.#login.succeed();
    this.#reconnector.loggedIn();
    // A server that is already stopping accepts no more.
    const { draining } = connection;
    const restored = draining === null ? this.#messages.restore(connection) : null;
    // Before queued messages, which may require a subscription.
    this.#host.subscriptions()?.connected(connection);
    if (draining === null) this.#messages.sendAll(connection);
    else {
      const error = serverStopping("Not sent", draining, this.#config);
      this.#messages.loginFailed(error, this.#reconnector.mayReconnect);
    }
    connection.activate();
    this.#host.connected();
    if (restored !== null) this.#host.hooks.notifyResumed(restored);
  }

  frameRefused(connection: ProtocolConnection<Peer>, error: ConduitError, count: number): void {
    if (this.#login.isFor(connection)) this.#login.frameRefused(error);
    else this.#core.report(error, { stage: "protocol", client: connection.peer, count });
  }

  connectionDraining(connection: ProtocolConnection<Peer>, notice: DrainNotice): void {
    this.#host.hooks.notifyDraining(notice);
    const { enabled, leaveEarly, jitter } = this.#config.reconnect;
    if (enabled && leaveEarly) this.#earlyLeave = new EarlyLeave(connection, notice, jitter);
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  /** The stream was lost. If the client reconnects, the connection waits for a new stream. */
  connectionSuspended(connection: ProtocolConnection<Peer>, reason: CloseReason): void {
    if (!this.#reconnector.mayConnect(reason)) {
      connection.destroy(errorOf(reason));
      return;
    }
    this.#connection = null;
    // From here on, listeners get the states of connection attempts.
    connection.machine = connection.machine.withoutListeners();
    this.#waiting.start(connection);
    this.#reconnector.lost(reason, () => Promise.resolve());
  }

  /** A connection that waited for a new stream has ended. */
  #sessionEnded(reason: CloseReason): void {
    const { hooks } = this.#host;
    this.#waiting.end();
    const { code, message } = reason;
    if (this.state === "suspended") this.#machine.transition("fail", { code, message });
    this.#host.subscriptions()?.disconnected();
    this.#host.disconnected();
    void hooks.disconnected(reason);
    if (!this.#messages.isRestored) hooks.notifyExpired({ lost: reason.lost ?? 0, reason });
  }

  phaseTimedOut(): void {
    // The connection attempt's own timer covers the login, name lookup and TLS.
  }

  connectionClosing(): void {
    // Nothing to do: calls and messages check `isOpen`.
  }

  connectionClosed(connection: ProtocolConnection<Peer>, reason: CloseReason): void {
    this.#earlyLeave?.ended(connection);
    if (this.#waiting.connection === connection) {
      this.#sessionEnded(reason);
      return;
    }
    if (this.#connection === connection) this.#connection = null;
    if (this.#login.isUnderWay) {
      this.#login.connectionClosed(connection, reason);
      return;
    }
    if (!connection.isAuthenticated) return;
    this.#host.subscriptions()?.disconnected();
    this.#host.disconnected();
    if (this.#reconnector.mayConnect(reason)) this.#messages.keep(connection.sender.takeNotTaken());
    else connection.sender.reportNotTaken();
    const retryAfterMs = connection.draining?.retryAfterMs ?? 0;
    this.#reconnector.lost(reason, () => this.#host.hooks.disconnected(reason), retryAfterMs);
    if (!this.#reconnector.mayConnect(null)) this.#host.gaveUp(() => errorOf(reason));
  }
}

/** Shared by all clients. */
const ignore = (): void => undefined;
