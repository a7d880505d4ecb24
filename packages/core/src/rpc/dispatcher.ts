/**
 * Runs handlers: validate, call, reply. The synchronous path (valid parameters, a handler that returns a plain value)
 * allocates one context and no promise.
 */

import { asError, ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { type CallClock, CallContext } from "./call-context.ts";
import type { MessageEntry, MethodEntry, Registry } from "./registry.ts";

/** What a dispatcher needs of the connection a request came from. */
export interface DispatchPeer<Peer> {
  /** What handlers get to see of it: the connection on a server, the client itself on a client. */
  readonly face: Peer;
  readonly isAuthenticated: boolean;
  /** True when a MESSAGE with a correlation id asks for one reply with that id. */
  readonly correlatesReplies: boolean;
  /** @throws ConduitError UNSERIALIZABLE or MESSAGE_TOO_LARGE; nothing was sent then. */
  sendResult(hi: number, lo: number, result: unknown): void;
  sendError(
    hi: number,
    lo: number,
    message: string,
    code: number,
    details: Readonly<Record<string, unknown>> | undefined,
  ): void;
  /** The reply to a message that carries no correlation id. Throws as `sendResult`. */
  sendUncorrelatedReply(type: string, data: unknown): void;
  /** An asynchronous handler began or settled; between the two it counts against the connection's concurrency. */
  handlerStarted(context: CallContext<Peer>): void;
  handlerSettled(context: CallContext<Peer>): void;
}

/** What a dispatcher needs of the server or client it works for. */
export interface DispatchHost<Peer> extends CallClock {
  readonly registry: Registry<Peer>;
  readonly exposeErrors: boolean;
  reportError(error: unknown, stage: "rpc" | "message", from: Peer, name: string): void;
  unknownMessage(from: Peer, type: string, data: unknown): void;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function invoke<Peer>(
  entry: MessageEntry<Peer>,
  peer: DispatchPeer<Peer>,
  data: unknown,
  context: CallContext<Peer>,
): unknown {
  // Apart from its entry, which as `this` is no handler's business.
  if (entry.takesPeer) {
    const { handler } = entry;
    return handler(peer.face, data as never, context);
  }
  const { handler } = entry;
  return handler(data as never, context);
}

// Bound functions, and closures in methods of their own, take what comes late: a method that makes a closure sets memory
// aside for what it captures at each call, even where the closure is not made.

function handleLate<Peer>(entry: MethodEntry<Peer>, context: CallContext<Peer>, params: unknown): unknown {
  context.throwIfAborted();
  const { handler } = entry;
  return handler(params as never, context);
}

function invokeLate<Peer>(
  entry: MessageEntry<Peer>,
  peer: DispatchPeer<Peer>,
  context: CallContext<Peer>,
  data: unknown,
): unknown {
  context.throwIfAborted();
  return invoke(entry, peer, data, context);
}

export class Dispatcher<Peer> {
  readonly #host: DispatchHost<Peer>;
  readonly #registry: Registry<Peer>;
  /**
   * The type of the last message that has just one handler, and that handler. Of ten thousand connections each has
   * its own registry in no cache of the processor: what is not looked up in it again saves a tenth of a delivery.
   */
  #lastType: string | null = null;
  #lastEntry: MessageEntry<Peer> | null = null;
  /** The handler itself if it is a client's and takes data as it came: most are, and need no look at their entry. */
  #lastPlain: ((data: never, context: CallContext<Peer>) => unknown) | null = null;

  constructor(host: DispatchHost<Peer>) {
    this.#host = host;
    this.#registry = host.registry;
    this.#registry.onHandlersChange = () => {
      this.#lastType = null;
      this.#lastEntry = null;
      this.#lastPlain = null;
    };
  }

  /** Answers an RPC_REQUEST. `hi`/`lo` 0/0: the caller wants no answer. */
  call(peer: DispatchPeer<Peer>, name: string, params: unknown, hi: number, lo: number, timeoutMs: number): void {
    const entry = this.#registry.method(name);
    if (entry === undefined) {
      if (name === "listall") void this.#reply(peer, null, name, hi, lo, this.#registry.discovery());
      else this.#replyError(peer, hi, lo, new RpcError(ErrorCode.METHOD_NOT_FOUND, `RPC method not found: ${name}`));
      return;
    }
    if (entry.info.requires_auth && !peer.isAuthenticated) {
      const message = `Method '${name}' requires authentication`;
      this.#replyError(peer, hi, lo, new RpcError(ErrorCode.AUTH_REQUIRED, message));
      return;
    }
    const context = new CallContext<Peer>(peer.face, name, hi, lo, timeoutMs, this.#host);
    try {
      const valid = entry.params === null ? params : entry.params.run(params, name);
      if (isThenable(valid)) {
        this.#settleLater(peer, entry, context, valid.then((handleLate<Peer>).bind(null, entry, context)));
        return;
      }
      const { handler } = entry;
      const result = handler(valid as never, context);
      if (isThenable(result)) {
        this.#settleLater(peer, entry, context, result);
        return;
      }
      context.finish();
      const checking = this.#reply(peer, entry, name, hi, lo, result);
      if (checking === null) return;
      peer.handlerStarted(context);
      void checking.then(peer.handlerSettled.bind(peer, context));
    } catch (error) {
      context.finish();
      this.#callFailed(peer, context, error);
    }
  }

  /** Answers a MESSAGE. */
  message(peer: DispatchPeer<Peer>, type: string, data: unknown, hi: number, lo: number): void {
    const wantsReply = (hi !== 0 || lo !== 0) && peer.correlatesReplies;
    const isKnown = type === this.#lastType;
    const entries = isKnown ? null : this.#registry.handlers(type);
    if (entries === undefined) {
      this.#host.unknownMessage(peer.face, type, data);
      if (wantsReply) {
        this.#replyError(peer, hi, lo, new RpcError(ErrorCode.NO_HANDLER, `No handler for message type '${type}'`));
      }
      return;
    }
    const context = new CallContext<Peer>(peer.face, type, hi, lo, 0, this.#host);
    try {
      const reply =
        entries === null || this.#isOneAlone(type, entries)
          ? this.#runLast(peer, data, context)
          : this.#runAll(peer, entries, data, context);
      if (isThenable(reply)) {
        this.#messageSettlesLater(peer, wantsReply, context, reply);
        return;
      }
      context.finish();
      this.#messageReply(peer, type, wantsReply, hi, lo, reply);
    } catch (error) {
      context.finish();
      this.#messageFailed(peer, type, wantsReply, hi, lo, error);
    }
  }

  #messageSettlesLater(
    peer: DispatchPeer<Peer>,
    wantsReply: boolean,
    context: CallContext<Peer>,
    reply: PromiseLike<unknown>,
  ): void {
    const { method: type, hi, lo } = context;
    peer.handlerStarted(context);
    Promise.resolve(reply).then(
      (value: unknown) => {
        context.finish();
        this.#messageReply(peer, type, wantsReply, hi, lo, value);
        peer.handlerSettled(context);
      },
      (error: unknown) => {
        context.finish();
        if (!context.explains(error) || wantsReply)
          this.#messageFailed(peer, type, wantsReply, hi, lo, context.outcome(error));
        peer.handlerSettled(context);
      },
    );
  }

  #settleLater(
    peer: DispatchPeer<Peer>,
    entry: MethodEntry<Peer>,
    context: CallContext<Peer>,
    result: PromiseLike<unknown>,
  ): void {
    peer.handlerStarted(context);
    // A promise is taken as it is; any other thenable may throw, or settle twice.
    Promise.resolve(result).then(
      (value) => {
        context.finish();
        const checking = this.#reply(peer, entry, context.method, context.hi, context.lo, value);
        if (checking === null) peer.handlerSettled(context);
        else void checking.then(() => peer.handlerSettled(context));
      },
      (error: unknown) => {
        context.finish();
        this.#callFailed(peer, context, error);
        peer.handlerSettled(context);
      },
    );
  }

  #runOne(peer: DispatchPeer<Peer>, entry: MessageEntry<Peer>, data: unknown, context: CallContext<Peer>): unknown {
    if (entry.data === null) return invoke(entry, peer, data, context);
    const valid = entry.data.run(data, entry.type);
    if (isThenable(valid)) return valid.then((invokeLate<Peer>).bind(null, entry, peer, context));
    return invoke(entry, peer, valid, context);
  }

  /** The handler that is remembered. */
  #runLast(peer: DispatchPeer<Peer>, data: unknown, context: CallContext<Peer>): unknown {
    const plain = this.#lastPlain;
    if (plain !== null) return plain(data as never, context);
    return this.#runOne(peer, this.#lastEntry as MessageEntry<Peer>, data, context);
  }

  /** Whether there is just one handler; it is remembered then. */
  #isOneAlone(type: string, entries: readonly MessageEntry<Peer>[]): boolean {
    const [entry] = entries;
    if (entry === undefined || entries.length > 1) return false;
    this.#lastType = type;
    this.#lastEntry = entry;
    this.#lastPlain = entry.takesPeer || entry.data !== null ? null : entry.handler;
    return true;
  }

  /** All handlers start in order; the reply is the last one's that gave any. One that fails doesn't stop the others. */
  async #runAll(
    peer: DispatchPeer<Peer>,
    entries: readonly MessageEntry<Peer>[],
    data: unknown,
    context: CallContext<Peer>,
  ): Promise<unknown> {
    const results = await Promise.allSettled(
      entries.map(async (entry) => await this.#runOne(peer, entry, data, context)),
    );
    let reply: unknown;
    let failure: { error: unknown } | null = null;
    for (const result of results) {
      if (result.status === "fulfilled") {
        if (result.value !== undefined) reply = result.value;
      } else if (failure === null) failure = { error: result.reason };
      else this.#host.reportError(result.reason, "message", peer.face, context.method);
    }
    if (failure === null) return reply;
    if (reply === undefined) throw failure.error;
    this.#host.reportError(failure.error, "message", peer.face, context.method);
    return reply;
  }

  #messageReply(
    peer: DispatchPeer<Peer>,
    type: string,
    wantsReply: boolean,
    hi: number,
    lo: number,
    reply: unknown,
  ): void {
    if (reply instanceof RpcError) {
      this.#messageFailed(peer, type, wantsReply, hi, lo, reply);
    } else if (wantsReply) {
      void this.#reply(peer, null, type, hi, lo, reply);
    } else if (reply !== undefined && reply !== null) {
      try {
        peer.sendUncorrelatedReply(`${type}_response`, reply);
      } catch (error) {
        this.#host.reportError(error, "message", peer.face, type);
      }
    }
  }

  #messageFailed(
    peer: DispatchPeer<Peer>,
    type: string,
    wantsReply: boolean,
    hi: number,
    lo: number,
    error: unknown,
  ): void {
    if (wantsReply) {
      if (!(error instanceof RpcError)) this.#host.reportError(error, "message", peer.face, type);
      this.#replyError(peer, hi, lo, this.#outward(error));
      return;
    }
    this.#host.reportError(error, "message", peer.face, type);
    if (!(error instanceof RpcError)) return;
    // netconduit's own form of an error reply to a message: what its error helper returns.
    const { message, code, details } = error;
    try {
      const body = { success: false, error: message, code, ...(details === undefined ? {} : { details }) };
      peer.sendUncorrelatedReply(`${type}_response`, body);
    } catch (failure) {
      this.#host.reportError(failure, "message", peer.face, type);
    }
  }

  #callFailed(peer: DispatchPeer<Peer>, context: CallContext<Peer>, thrown: unknown): void {
    const error = context.outcome(thrown);
    if (!(error instanceof RpcError)) this.#host.reportError(error, "rpc", peer.face, context.method);
    this.#replyError(peer, context.hi, context.lo, this.#outward(error));
  }

  /** Sends a result. @returns null, or what settles when an asynchronous schema has checked it and the reply is sent. */
  #reply(
    peer: DispatchPeer<Peer>,
    entry: MethodEntry<Peer> | null,
    name: string,
    hi: number,
    lo: number,
    result: unknown,
  ): Promise<void> | null {
    if (result instanceof RpcError) {
      this.#replyError(peer, hi, lo, result);
      return null;
    }
    try {
      let value = result;
      if (entry !== null && entry.result !== null) {
        value = entry.result.run(result, name);
        if (isThenable(value)) return this.#replyLater(peer, name, hi, lo, value);
      }
      if (hi !== 0 || lo !== 0) peer.sendResult(hi, lo, value);
    } catch (error) {
      this.#badResult(peer, name, hi, lo, error);
    }
    return null;
  }

  #replyLater(
    peer: DispatchPeer<Peer>,
    name: string,
    hi: number,
    lo: number,
    result: PromiseLike<unknown>,
  ): Promise<void> {
    return Promise.resolve(result).then(
      (checked) => {
        void this.#reply(peer, null, name, hi, lo, checked);
      },
      (error: unknown) => this.#badResult(peer, name, hi, lo, error),
    );
  }

  /** The handler's result could not be sent: that is this side's fault, so the peer learns a code and no more. */
  #badResult(peer: DispatchPeer<Peer>, name: string, hi: number, lo: number, error: unknown): void {
    this.#host.reportError(error, "rpc", peer.face, name);
    const tooLarge = error instanceof ConduitError && error.code === ErrorCode.MESSAGE_TOO_LARGE;
    const outward = tooLarge ? new RpcError(error.code, error.message) : this.#hidden(error);
    this.#replyError(peer, hi, lo, outward);
  }

  #replyError(peer: DispatchPeer<Peer>, hi: number, lo: number, error: RpcError): void {
    if (hi === 0 && lo === 0) return;
    peer.sendError(hi, lo, error.message, error.code, error.details);
  }

  #outward(error: unknown): RpcError {
    return error instanceof RpcError ? error : this.#hidden(error);
  }

  #hidden(error: unknown): RpcError {
    return new RpcError(ErrorCode.INTERNAL, this.#host.exposeErrors ? asError(error).message : "Internal server error");
  }
}
