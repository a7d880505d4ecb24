import type { ConnectionSettings } from "../connection/connection-settings.ts";
import type { StateHost } from "../connection/connection-state.ts";
import type { AnyExtension } from "../connection/extension.ts";
import { ExtensionRegistry } from "../connection/extension-registry.ts";
import type { ConnectionDelegate } from "../connection/protocol-connection.ts";
import { type RuntimeContext, runtimeContextOf } from "../context/runtime-context.ts";
import { asError, ConduitError, ErrorCode, RpcError } from "../errors.ts";
import type { SideContract } from "../rpc/contract.ts";
import { Dispatcher, type DispatchHost } from "../rpc/dispatcher.ts";
import { Registry } from "../rpc/registry.ts";
import type { Runtime } from "../runtime.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import { agreedResults, type ResultValidators } from "./contract-option.ts";
import { HandlerRegistration } from "./handler-registration.ts";
import { HookList } from "./hook-list.ts";

/** Where an error was caught; given to `onError` hooks. */
export interface ErrorContext<Peer> {
  /**
   * `rpc`, `message`: a handler failed. `hook`: a lifecycle hook failed. `protocol`: the peer sent an invalid frame.
   * `login`: a login was invalid. `accept`: a connection failed before it was ready (TLS). `reconnect`: an attempt
   * failed. `rate-limit`: the peer exceeded its rate limit.
   */
  readonly stage: "rpc" | "message" | "hook" | "protocol" | "login" | "accept" | "reconnect" | "rate-limit";
  /** The logged-in connection, if there is one. */
  readonly client?: Peer;
  /** The method, message type or hook. */
  readonly name?: string;
  /** Address of the peer, `host:port`, if it hasn't logged in. */
  readonly remoteAddress?: string;
}

/** The part of a `ConnectionDelegate` in which servers and clients differ. */
export type ConnectionEvents<Peer> = Pick<
  ConnectionDelegate<Peer>,
  "role" | "handshakeFrame" | "phaseTimedOut" | "frameRefused" | "connectionClosing" | "connectionClosed"
>;

/** The contract from the point of view of a server or a client. */
export interface EndpointContract {
  /** Methods and messages that this side handles. */
  readonly own?: SideContract | undefined;
  /** Those that its peers handle. */
  readonly peer?: SideContract | undefined;
}

/** The internals of a `Server` or `Client`. */
export class EndpointCore<Peer> implements DispatchHost<Peer>, StateHost {
  readonly runtimeContext: RuntimeContext;
  readonly registry: Registry<Peer> = new Registry<Peer>();
  readonly registration: HandlerRegistration<Peer>;
  readonly dispatcher: Dispatcher<Peer>;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly exposeErrors: boolean;
  readonly errorHooks: HookList<[error: Error, context: ErrorContext<Peer>]> = new HookList();
  readonly unknownHooks: HookList<[client: Peer, type: string, data: unknown]> = new HookList();
  readonly extensions: ExtensionRegistry;
  readonly #settings: ConnectionSettings;
  readonly #results: ResultValidators | null;

  constructor(
    runtime: Runtime,
    settings: ConnectionSettings & { readonly enableCompression: boolean; readonly exposeErrors: boolean },
    contract: EndpointContract,
    extensions: readonly AnyExtension[],
  ) {
    this.#settings = settings;
    this.#results = agreedResults(contract.peer);
    this.registration = new HandlerRegistration(this.registry, contract.own);
    this.extensions = new ExtensionRegistry(extensions, settings);
    this.runtimeContext = runtimeContextOf(runtime);
    this.exposeErrors = settings.exposeErrors;
    this.dispatcher = new Dispatcher<Peer>(this);
    this.writer = this.runtimeContext.writer(settings.maxMessageBytes, settings.enableCompression);
    this.reader = this.runtimeContext.reader(settings.maxMessageBytes);
  }

  /** The delegate of this endpoint's connections. */
  delegate(events: ConnectionEvents<Peer>): ConnectionDelegate<Peer> {
    return {
      ...events,
      context: this.runtimeContext,
      reader: this.reader,
      dispatcher: this.dispatcher,
      writer: this.writer,
      settings: this.#settings,
      extensions: this.extensions,
      results: this.#results,
      discovery: () => ({ methods: this.registry.discovery().methods }),
    };
  }

  get wheel(): TimerWheel {
    return this.runtimeContext.wheel;
  }

  wallClock(): number {
    return this.runtimeContext.wallClock();
  }

  reportError(error: unknown, stage: ErrorContext<Peer>["stage"], client?: Peer, name?: string): void {
    this.report(error, {
      stage,
      ...(client === undefined ? {} : { client }),
      ...(name === undefined ? {} : { name }),
    });
  }

  unknownMessage(client: Peer, type: string, data: unknown): void {
    this.unknownHooks.notify((error) => this.hookFailed("onUnknown", error), client, type, data);
  }

  /**
   * Runs the `onError` hooks. Without hooks, errors of the application's own code and the end of reconnecting become
   * warnings.
   */
  report(error: unknown, context: ErrorContext<Peer>): void {
    const known = asError(error);
    const { runtime } = this.runtimeContext;
    if (!this.errorHooks.isEmpty) {
      this.errorHooks.notify((failure) => runtime.warn(asError(failure)), known, context);
    } else if (isWorthAWarning(known, context.stage)) {
      runtime.warn(warningOf(known, context));
    }
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
  if (stage === "rpc" || stage === "message" || stage === "hook") return !(error instanceof RpcError);
  return error instanceof ConduitError && error.code === ErrorCode.RECONNECT_FAILED;
}

/** Describes the error and the operation. Includes the stack in the message, because runtimes show only that. */
function warningOf(error: Error, { stage, name }: ErrorContext<unknown>): Error {
  if (stage === "reconnect") return error;
  const what = stage === "rpc" ? "RPC method" : stage === "message" ? "The handler of message" : "A hook of";
  const subject = name === undefined ? "" : ` '${name}'`;
  const warning = new Error(
    `${what}${subject} failed (add an onError hook to handle this): ${error.stack ?? error.message}`,
    {
      cause: error,
    },
  );
  warning.name = "NetconduitWarning";
  return warning;
}
