import type { ConnectionEndpoint } from "../connection/connection-endpoint.ts";
import type { ConnectionSettings } from "../connection/connection-settings.ts";
import type { StateHost } from "../connection/connection-state.ts";
import type { AnyExtension } from "../connection/extension.ts";
import { ExtensionRegistry } from "../connection/extension-registry.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { type RuntimeContext, runtimeContextOf } from "../context/runtime-context.ts";
import { asError, ConduitError, ErrorCode, isInstance, printableError, RpcError } from "../errors.ts";
import { FileService } from "../extensions/files/file-service.ts";
import { fileTransfersOf } from "../extensions/files/file-transfers.ts";
import type { FolderOptions } from "../extensions/files/folder-options.ts";
import type { TransferredFile } from "../extensions/files/served-folder.ts";
import { MAX_WARNING_CHARS, REPORT_WINDOW_MS } from "../limits.ts";
import { AccessControl } from "../rpc/access.ts";
import type { Codec } from "../rpc/answer-record.ts";
import type { SideContract } from "../rpc/contract.ts";
import { Dispatcher, type DispatchHost } from "../rpc/dispatcher.ts";
import { MemoryAnswers } from "../rpc/memory-answers.ts";
import type { Answers, OnceRequest } from "../rpc/once-window.ts";
import { type Discovery, Registry } from "../rpc/registry.ts";
import type { Runtime } from "../runtime.ts";
import { toHex } from "../util/hex.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { withDeadline } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import { agreedItems, agreedOn, agreedResults, type ItemValidators, type ResultValidators } from "./contract-option.ts";
import { type DeadLetter, deadLetter } from "./dead-letter.ts";
import { HandlerRegistration } from "./handler-registration.ts";
import { HookList } from "./hook-list.ts";

/** Long enough to be unique in a log. */
const FAILURE_ID_BYTES = 8;

/** Where an error was caught; given to `onError` hooks. */
export interface ErrorContext<Peer> {
  /**
   * `rpc`, `message`: a handler failed. `hook`: a lifecycle hook failed. `protocol`: the peer sent an invalid frame,
   * or messages and calls were dropped because the connection ended before their handlers started
   * (CONNECTION_CLOSED). `login`: a login was invalid. `accept`: a connection failed before it was ready (TLS).
   * `reconnect`: an attempt failed. `rate-limit`: the peer exceeded its rate limit. `send`: the peer refused messages
   * of `send`, or calls of `callNoWait`. `cluster`: a message of another node couldn't be handled, or this node has
   * left its cluster. `store`: the store failed (STORE_FAILED, STORE_FULL).
   */
  readonly stage:
    | "rpc"
    | "message"
    | "hook"
    | "protocol"
    | "login"
    | "accept"
    | "reconnect"
    | "rate-limit"
    | "send"
    | "cluster"
    | "store";
  /** The logged-in connection, if there is one. */
  readonly client?: Peer;
  /** The method, message type or hook. */
  readonly name?: string;
  /**
   * The peer's address, `host:port`, if it hasn't logged in. Missing with the stage `accept`, whose reports may cover
   * several peers.
   */
  readonly remoteAddress?: string;
  /** Id of a handler's failure. The caller's RpcError has the same `failureId`. */
  readonly failureId?: string;
  /**
   * Number of frames that a report with the stage `protocol`, `rate-limit` or `send` stands for, of connections with
   * the stage `accept`, of failures with the stage `store`, or of messages that failed with the stage `cluster`, or with the
   * stage `message` by an `RpcError`; missing for one message. Errors of one connection, of a server's accepting, of its store
   * or of messages of other nodes, with the same code, and for messages the same type, are reported once per second, the rest
   * when the connection has ended or the server stops.
   */
  readonly count?: number;
}

/** The contract from the point of view of a server or a client. */
export interface EndpointContract {
  /** Methods and messages that this side handles. */
  readonly own?: SideContract | undefined;
  /** Methods and messages that its peers handle. */
  readonly peer?: SideContract | undefined;
}

/** The default of `onceOwner` and `userName`. */
const noName = (): string => "";
const ignore = (): void => undefined;

/** The internals of a `Server` or `Client`. */
export class EndpointCore<Peer>
  implements ConnectionEndpoint<Peer, ProtocolConnection<Peer>>, DispatchHost<Peer>, StateHost
{
  readonly runtimeContext: RuntimeContext;
  readonly registry: Registry<Peer> = new Registry<Peer>();
  readonly registration: HandlerRegistration<Peer>;
  readonly dispatcher: Dispatcher<Peer>;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly exposeErrors: boolean;
  readonly access: AccessControl<Peer> = new AccessControl<Peer>();
  readonly errorHooks: HookList<[error: Error, context: ErrorContext<Peer>]> = new HookList();
  readonly unknownHooks: HookList<[client: Peer, type: string, data: unknown]> = new HookList();
  readonly deadLetterHooks: HookList<[letter: DeadLetter]> = new HookList();
  readonly fileReceivedHooks: HookList<[peer: Peer, file: TransferredFile]> = new HookList();
  readonly fileSentHooks: HookList<[peer: Peer, file: TransferredFile]> = new HookList();
  readonly extensions: ExtensionRegistry;
  /** Created when the first folder is served. */
  #files: FileService<Peer> | null = null;
  #isRunning = false;
  readonly settings: ConnectionSettings;
  /** From the contract; null if it has none. */
  readonly results: ResultValidators | null;
  readonly items: ItemValidators | null;
  readonly #folders: SideContract["files"];
  #warnings: ReportWindows<null> | null = null;
  /** The encoded reply to RPC_LIST, and what it was encoded from. */
  #list: { readonly of: Discovery; readonly payload: Uint8Array } | null = null;

  /** @param rolesOf the roles of a peer's user; null on a client */
  constructor(
    runtime: Runtime,
    settings: ConnectionSettings & { readonly exposeErrors: boolean },
    contract: EndpointContract,
    extensions: readonly AnyExtension[],
    rolesOf: ((peer: Peer) => readonly string[]) | null = null,
  ) {
    this.settings = settings;
    this.results = agreedResults(contract.peer);
    this.items = agreedItems(contract.peer);
    this.#folders = contract.own?.files;
    this.access.rolesOf = rolesOf;
    this.registration = new HandlerRegistration(this.registry, contract.own, rolesOf !== null);
    this.extensions = new ExtensionRegistry(extensions, settings);
    this.runtimeContext = runtimeContextOf(runtime);
    this.exposeErrors = settings.exposeErrors;
    this.dispatcher = new Dispatcher<Peer>(this);
    this.writer = this.runtimeContext.writer(settings.maxMessageBytes, false);
    this.reader = this.runtimeContext.reader(settings.maxMessageBytes, settings.enableCompression);
  }

  sendRefused(connection: ProtocolConnection<Peer>, error: RpcError, count: number): void {
    this.report(error, { stage: "send", client: connection.peer, name: error.method ?? "", count });
  }

  messageFailed(connection: ProtocolConnection<Peer>, error: ConduitError, name: string, count: number): void {
    this.report(error, { stage: "message", client: connection.peer, name, ...(count === 1 ? {} : { count }) });
  }

  callbackFailed(connection: ProtocolConnection<Peer>, name: string, error: unknown): void {
    this.hookFailed(name, error, connection.peer);
  }

  /** Serves a folder to peers. Returns a function that stops serving it. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  serveFiles(name: string, options: FolderOptions<Peer>): () => void {
    this.#files ??= new FileService<Peer>(this.registry, {
      transfers: fileTransfersOf(this.runtimeContext),
      access: this.access,
      received: (peer, file) =>
        this.hold(
          peer,
          this.fileReceivedHooks.start((error) => this.hookFailed("onFileReceived", error, peer), peer, file),
        ),
      sent: (peer, file) =>
        this.hold(
          peer,
          this.fileSentHooks.start((error) => this.hookFailed("onFileSent", error, peer), peer, file),
        ),
      failed: (peer, method, error) => this.reportError(error, "rpc", peer, method),
    });
    return this.#files.serve(name, options, agreedOn(this.#folders, name), this.#isRunning);
  }

  /** Rejects with INVALID_CONFIG if a folder that is served doesn't exist. */
  async foldersMustExist(): Promise<void> {
    await this.#files?.mustExist();
  }

  /** The endpoint starts, or connects. */
  begin(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#files?.begin();
  }

  /** A server is listening. @param maxSockets how many connections the process has descriptors for; undefined if unknown */
  listening(maxSockets: number | undefined): void {
    if (maxSockets === undefined || this.runtimeContext.runtime.files === undefined) return;
    fileTransfersOf(this.runtimeContext).boundBy(maxSockets);
  }

  /** Resolves when uploads of ended connections have saved the received data, or after `timeoutMs`. */
  async uploadsKept(timeoutMs: number): Promise<void> {
    if (this.#files === null) return;
    const deadline = withDeadline(this.runtimeContext.runtime, timeoutMs);
    await deadline.race(this.#files.received());
    deadline.cancel();
  }

  /** The endpoint is stopped or closed: cancels all timers. */
  end(): void {
    this.#isRunning = false;
    this.#files?.end();
    this.runtimeContext.releaseIdleState();
  }

  get wheel(): TimerWheel {
    return this.runtimeContext.wheel;
  }

  wallClock(): number {
    return this.runtimeContext.wallClock();
  }

  reportError(
    error: unknown,
    stage: ErrorContext<Peer>["stage"],
    client?: Peer,
    name?: string,
    failureId?: string,
  ): void {
    this.report(error, {
      stage,
      ...(client === undefined ? {} : { client }),
      ...(name === undefined ? {} : { name }),
      ...(failureId === undefined ? {} : { failureId }),
    });
  }

  /** Overridden by servers, where all connections of a user share their keys. */
  onceOwner: (from: Peer) => string = noName;

  /** Overridden by servers. */
  userName: (from: Peer) => string = noName;

  /** Overridden by servers and clients; see `RequestScheduler`. */
  hookStarted: (peer: Peer, running: Promise<unknown>, bytes: number) => void = ignore;

  /** Bounds the hooks that a peer's requests start, like handlers, so that it can't start any number of them. */
  hold(peer: Peer, running: Promise<unknown> | null, bytes = 0): void {
    if (running !== null) this.hookStarted(peer, running, bytes);
  }

  /** Servers with a store replace it. */
  answers: (() => Answers) | null = null;

  makeAnswers(): Answers {
    return this.answers?.() ?? new MemoryAnswers(this.codec, () => this.now());
  }

  /** Servers with a store replace it. */
  keepDeadLetter: (letter: DeadLetter) => void = ignore;

  /** Encodes values for a store. */
  get codec(): Codec {
    const { reader, writer } = this;
    return {
      encode: (value) => writer.encodeItem(value).slice(),
      decode: (bytes) => reader.readItem(bytes, 0, bytes.length),
    };
  }

  deadLetter(from: Peer, request: OnceRequest, error: RpcError, deliveries: number, bytes: number): void {
    this.hold(from, this.deadLetterOf(this.userName(from), request, error, deliveries), bytes);
  }

  /** Returns when the asynchronous hooks have finished; null if there are none. */
  deadLetterOf(user: string, request: OnceRequest, error: RpcError, deliveries: number): Promise<unknown> | null {
    const { runtime } = this.runtimeContext;
    const facts = { deliveries, user, at: runtime.wallClock() };
    const letter = deadLetter(request, error, facts, runtime.crypto.randomBytes(FAILURE_ID_BYTES));
    this.keepDeadLetter(letter);
    return this.deadLetterHooks.start((failure) => this.hookFailed("onDeadLetter", failure), letter);
  }

  now(): number {
    return this.runtimeContext.runtime.now();
  }

  newFailureId(): string {
    return toHex(this.runtimeContext.runtime.crypto.randomBytes(FAILURE_ID_BYTES));
  }

  unknownMessage(client: Peer, type: string, data: unknown, bytes: number): boolean {
    if (this.unknownHooks.isEmpty) return false;
    const running = this.unknownHooks.start((error) => this.hookFailed("onUnknown", error), client, type, data);
    this.hold(client, running, bytes);
    return true;
  }

  /**
   * Runs the `onError` hooks. Without hooks, errors of the application's own code and the end of reconnecting become
   * warnings.
   */
  report(error: unknown, context: ErrorContext<Peer>): void {
    const known = asError(error);
    if (!this.errorHooks.isEmpty) {
      const failed = (failure: unknown): void =>
        this.#warn("onError", asError(failure), { stage: "hook", name: "onError" });
      if (context.client === undefined) this.errorHooks.notify(failed, known, context);
      else this.hold(context.client, this.errorHooks.start(failed, known, context));
    } else if (isWorthAWarning(known, context.stage)) {
      this.#warn(`${context.stage} ${context.name}`, known, context);
    }
  }

  /** Encoded once until a method is added or removed, so that repeated requests cost little. */
  discovery(): Uint8Array {
    const discovery = this.registry.discovery();
    if (this.#list?.of !== discovery) {
      this.#list = { of: discovery, payload: this.writer.encodePayload({ methods: discovery.methods }) };
    }
    return this.#list.payload;
  }

  /** Merges failures of one kind into one warning per second, with their number. */
  #warn(kind: string, error: Error, context: ErrorContext<Peer>): void {
    const { runtime } = this.runtimeContext;
    this.#warnings ??= new ReportWindows(REPORT_WINDOW_MS);
    const count = this.#warnings.add(kind, null, runtime.now());
    if (count > 0) runtime.warn(warningOf(error, context, count));
  }

  /** A listener of `onStateChange` failed. */
  listenerFailed(error: unknown): void {
    this.hookFailed("onStateChange", error);
  }

  /** A hook of the application failed. */
  hookFailed(name: string, error: unknown, client?: Peer): void {
    this.reportError(error, "hook", client, name);
  }
}

function isWorthAWarning(error: Error, stage: ErrorContext<unknown>["stage"]): boolean {
  if (stage === "rpc" || stage === "message" || stage === "hook") return !isInstance(error, RpcError);
  if (stage === "store") return true;
  return isInstance(error, ConduitError) && error.code === ErrorCode.RECONNECT_FAILED;
}

const FAILED: Readonly<Partial<Record<ErrorContext<unknown>["stage"], string>>> = {
  rpc: "RPC method",
  message: "The handler of message",
  store: "The store",
};

/** Describes the error and the operation. Includes the stack in the message, because runtimes show only that. */
function warningOf(error: Error, { stage, name, failureId }: ErrorContext<unknown>, count: number): Error {
  if (stage === "reconnect") return error;
  const printable = printableError(error);
  const what = FAILED[stage] ?? "A hook of";
  const subject = name === undefined ? "" : ` '${name}'`;
  const times = count === 1 ? "" : ` ${count} times since the last warning; the last time`;
  const id = failureId === undefined ? "" : ` [failure ${failureId}]`;
  const advice = name === "onError" ? "" : " (add an onError hook to handle this)";
  const text = `${what}${subject} failed${times}${id}${advice}: ${printable.stack ?? printable.message}`;
  const isLong = text.length > MAX_WARNING_CHARS;
  const warning = new Error(isLong ? `${text.slice(0, MAX_WARNING_CHARS)}…` : text);
  warning.name = "NetconduitWarning";
  return warning;
}
