/** Runs handlers: validates, calls and replies. Creates no promise for a synchronous schema and handler. */

import { ConduitError, codeOf, ErrorCode, isInstance, messageOf, quoted, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { isThenable } from "../util/is-thenable.ts";
import { AbandonedCalls } from "./abandoned-calls.ts";
import type { AccessControl } from "./access.ts";
import { calledOf, type IncomingRequest, KeyedRequest, type RequestSource } from "./incoming-request.ts";
import { MiddlewareRun } from "./middleware.ts";
import { didYouMean } from "./nearest-name.ts";
import {
  type Answers,
  ONCE_METHOD,
  type OnceAnswer,
  type OnceRequest,
  OnceWindow,
  onceRequest,
} from "./once-window.ts";
import { isFinalFailure, isRefusal } from "./redelivery.ts";
import type { Discovery, MessageEntry, MethodEntry, Registry } from "./registry.ts";

/** The server or client that a dispatcher belongs to. */
export interface DispatchHost<Peer> {
  readonly registry: Registry<Peer>;
  readonly exposeErrors: boolean;
  readonly access: AccessControl<Peer>;
  /** @param failureId the id that the caller receives instead of the error */
  reportError(error: unknown, stage: "rpc" | "message", from: Peer, name: string, failureId?: string): void;
  newFailureId(): string;
  /** The identity whose `once` keys a peer uses. */
  onceOwner(from: Peer): string;
  /** Creates the storage of answers for calls and messages with a key. Called once. */
  makeAnswers(): Answers;
  /** A message won't be delivered again, because its handlers have failed as many times as its sender allows. */
  deadLetter(from: Peer, request: OnceRequest, error: RpcError, deliveries: number, bytes: number): void;
  /** Runs the `onUnknown` hooks. Returns whether there are any. */
  unknownMessage(from: Peer, type: string, data: unknown, bytes: number): boolean;
}

/** Calls the handler without `this`, because its entry is internal. */
function invoke<Peer>(entry: MessageEntry<Peer>, data: unknown, request: IncomingRequest<Peer>): unknown {
  if (entry.takesPeer) {
    const { handler } = entry;
    return handler(request.client, data as never, request);
  }
  const { handler } = entry;
  return handler(data as never, request);
}

/** Calls a method's handler. If it returns a stream, the result is a promise of its end. */
function callMethod<Peer>(entry: MethodEntry<Peer>, params: unknown, request: IncomingRequest<Peer>): unknown {
  const { streams } = request;
  const { handler } = entry;
  if (streams === null) return handler(params as never, request);
  streams.begin(entry.input?.check ?? null, entry.progress ?? null);
  const result = handler(params as never, request);
  return entry.output ? streams.send(result, entry.output.check) : result;
}

/** Why a method can't be called in this way; null if it can. */
function streamMismatch<Peer>({ output, input }: MethodEntry<Peer>, request: IncomingRequest<Peer>): string | null {
  const { streams } = request;
  const called = quoted(calledOf(request));
  const wantsOutput = streams !== null && streams.keys.output > 0;
  if (output && !wantsOutput) return `${called} returns a stream: call it with stream()`;
  if (!output && wantsOutput) return `${called} returns a result and no stream: call it with call()`;
  return streams?.keys.input === true && !input ? `${called} takes no input` : null;
}

export class Dispatcher<Peer> {
  readonly #host: DispatchHost<Peer>;
  readonly #registry: Registry<Peer>;
  #depth = 0;
  /**
   * The only handler of the last message's type; null if it has more or none. In a process with a thousand clients, the
   * objects on the way to it aren't in the CPU's caches: 0.4 µs for each message of a broadcast.
   */
  #only: MessageEntry<Peer> | null = null;
  /** Created by the first call with `once`. */
  #once: OnceWindow | null = null;
  /** Created by the first call with a key. */
  #abandoned: AbandonedCalls | null = null;

  constructor(host: DispatchHost<Peer>) {
    this.#host = host;
    this.#registry = host.registry;
    host.registry.onHandlersChange = () => {
      this.#only = null;
    };
  }

  /** Whether a handler is on the call stack, that is, hasn't reached its first `await`. */
  get isCalling(): boolean {
    return this.#depth > 0;
  }

  dispatch(source: RequestSource<Peer>, request: IncomingRequest<Peer>): void {
    this.#depth += 1;
    if (request.isCall) this.#call(source, request);
    else this.#message(source, request);
    this.#depth -= 1;
  }

  /** Calls a handler later than `dispatch`. */
  #invokeLater(call: () => unknown): unknown {
    this.#depth += 1;
    try {
      return call();
    } finally {
      this.#depth -= 1;
    }
  }

  // --- calls --------------------------------------------------------------------------------------------------------

  #call(source: RequestSource<Peer>, request: IncomingRequest<Peer>): void {
    const { method } = request;
    const entry = this.#registry.method(method) ?? this.#registry.builtIn(method, source.hasNetconduitPeer);
    if (entry === undefined) {
      if (method === "listall") this.#reply(source, request, this.#discovery(source));
      else if (method === ONCE_METHOD && !source.hasNetconduitPeer) void this.#runOnce(source, request);
      else {
        const hint = source.hasNetconduitPeer ? "" : didYouMean(method, this.#registry.methodNames());
        const message = `RPC method not found: ${method}${hint}`;
        this.#replyError(source, request, new RpcError(ErrorCode.METHOD_NOT_FOUND, message));
      }
      return;
    }
    if (entry.info.requires_auth && !source.isAuthenticated) {
      const message = `Method '${method}' requires authentication`;
      this.#replyError(source, request, new RpcError(ErrorCode.AUTH_REQUIRED, message));
      return;
    }
    if (entry.access) {
      const kind = entry.output ? "stream" : "method";
      const refusal = this.#host.access.refusal(request.client, entry.access, kind, method);
      if (refusal !== null) {
        this.#replyError(source, request, refusal);
        return;
      }
    }
    if (request.streams !== null || entry.output) {
      const mismatch = streamMismatch(entry, request);
      if (mismatch !== null) {
        this.#replyError(source, request, new RpcError(ErrorCode.STREAM_MISMATCH, mismatch));
        return;
      }
    }
    try {
      let result: unknown;
      let run: MiddlewareRun<Peer> | null = null;
      if (entry.middlewares) {
        run = new MiddlewareRun(entry.middlewares, request, () => this.#checkAndCall(entry, request));
        result = run.start();
        if (request.hasId) result = run.checked(result);
      } else {
        const params = entry.params === null ? request.value : entry.params.run(request.value, method);
        if (isThenable(params)) {
          this.#settleLater(source, entry, request, this.#checkedCall(entry, request, params), null);
          return;
        }
        result = callMethod(entry, params, request);
      }
      if (isThenable(result)) {
        this.#settleLater(source, entry, request, result, run);
        return;
      }
      this.#callSucceeded(source, entry, request, result);
    } catch (error) {
      this.#callFailed(source, request, error);
    }
  }

  /** Validates the parameters and calls the handler, inside the middlewares. */
  #checkAndCall(entry: MethodEntry<Peer>, request: IncomingRequest<Peer>): unknown {
    request.throwIfAborted();
    this.#depth += 1;
    try {
      const params = entry.params === null ? request.value : entry.params.run(request.value, request.method);
      return isThenable(params) ? this.#checkedCall(entry, request, params) : callMethod(entry, params, request);
    } finally {
      this.#depth -= 1;
    }
  }

  /** Awaits the validation of an asynchronous schema first. */
  async #checkedCall(
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    checking: PromiseLike<unknown>,
  ): Promise<unknown> {
    const params = await checking;
    request.throwIfAborted();
    return this.#invokeLater(() => callMethod(entry, params, request));
  }

  // --- once ---------------------------------------------------------------------------------------------------------

  /** Answers a call or message with a key: with its earlier answer, or by running it. */
  async #runOnce(source: RequestSource<Peer>, request: IncomingRequest<Peer>): Promise<void> {
    source.handlerStarted(request);
    let isAnswered = false;
    try {
      const wanted = onceRequest(request.value);
      this.#once ??= new OnceWindow(this.#host.makeAnswers());
      const once = this.#once;
      const owner = this.#host.onceOwner(request.client);
      const carryOut = (count: number): Promise<OnceAnswer> => this.#deliver(source, request, wanted, count);
      // Its handler occupies the place of the attempt that started it, so a repeated attempt needs none of its own.
      const isRepeated = once.isRunning(owner, wanted);
      const gaveUp = (reason: ConduitError): void => {
        if (!isRepeated) return;
        isAnswered = true;
        this.#callFailed(source, request, reason);
        source.handlerSettled(request);
      };
      const answer = await this.#untilAnswered(owner, request, gaveUp, () => once.run(owner, wanted, carryOut));
      if (isAnswered) return;
      request.finish();
      this.#reply(source, request, "error" in answer ? startedError(answer.error) : answer.result);
    } catch (error) {
      if (!isAnswered) this.#callFailed(source, request, error);
    } finally {
      source.handlerSettled(request);
    }
  }

  /** Resolves when no call or message with a key is running, including those whose caller has disconnected. */
  async onceIdle(): Promise<void> {
    await this.#once?.idle();
  }

  /** Counts the call while it runs without its caller. */
  async #untilAnswered(
    owner: string,
    request: IncomingRequest<Peer>,
    gaveUp: (reason: ConduitError) => void,
    run: () => Promise<OnceAnswer>,
  ): Promise<OnceAnswer> {
    request.throwIfAborted();
    this.#abandoned ??= new AbandonedCalls();
    const abandoned = this.#abandoned;
    abandoned.mustHaveRoom(owner);
    let isAbandoned = false;
    request.onAbort = (reason) => {
      isAbandoned = true;
      abandoned.add(owner, request.bytes);
      gaveUp(reason);
    };
    try {
      return await run();
    } finally {
      request.onAbort = null;
      if (isAbandoned) abandoned.delete(owner, request.bytes);
    }
  }

  async #deliver(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    wanted: OnceRequest,
    count: number,
  ): Promise<OnceAnswer> {
    const answer = await this.#carryOut(source, request, wanted, count);
    if ("error" in answer && isFinalFailure(wanted, answer.error, count)) {
      this.#host.deadLetter(request.client, wanted, answer.error, count, request.bytes);
    }
    return answer;
  }

  /** Runs to completion even if the caller gives up or the connection ends, so that a repeated call gets the answer. */
  #carryOut(
    source: RequestSource<Peer>,
    { bytes, meta }: IncomingRequest<Peer>,
    wanted: OnceRequest,
    count: number,
  ): Promise<OnceAnswer> {
    return new Promise((resolve) => {
      const kept: RequestSource<Peer> = {
        context: source.context,
        peer: source.peer,
        isAuthenticated: source.isAuthenticated,
        correlatesReplies: true,
        hasNetconduitPeer: false,
        isOver: false,
        get drainSignal() {
          return source.drainSignal;
        },
        messageFailed: (error, type) => source.messageFailed(error, type),
        handlerStarted: () => undefined,
        handlerSettled: () => undefined,
        replies: {
          sendResult: (_request, result) => resolve({ result: result ?? null }),
          sendError: (_request, error) => resolve({ error }),
          sendRefusal: (_request, error) => resolve({ error }),
          sendUncorrelatedReply: () => undefined,
          sendUncorrelatedError: () => undefined,
        },
      };
      const inner = new KeyedRequest<Peer>(kept, { key: wanted.key, count }, wanted, bytes);
      inner.meta = meta;
      this.dispatch(kept, inner);
    });
  }

  #discovery(source: RequestSource<Peer>): Discovery {
    return source.hasNetconduitPeer ? this.#registry.netconduitDiscovery() : this.#registry.discovery();
  }

  /** Answers a call when its result is there. */
  #settleLater(
    source: RequestSource<Peer>,
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    result: PromiseLike<unknown>,
    run: MiddlewareRun<Peer> | null,
  ): void {
    source.handlerStarted(request);
    this.#settleAfter(result, source, entry, request, run);
  }

  /** By `then`: with an async function that awaits the result, each call takes 60 ns more. */
  #settleAfter(
    result: PromiseLike<unknown>,
    source: RequestSource<Peer>,
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    run: MiddlewareRun<Peer> | null,
  ): void {
    void Promise.resolve(result).then(
      (value) => this.#settled(source, entry, request, value, run),
      (error: unknown) => this.#failedLater(source, request, error),
    );
  }

  #settled(
    source: RequestSource<Peer>,
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    value: unknown,
    run: MiddlewareRun<Peer> | null,
  ): void {
    if (value === undefined && run !== null && request.hasId) {
      const checked = run.checked(value);
      if (isThenable(checked)) {
        this.#settleAfter(checked, source, entry, request, null);
        return;
      }
    }
    let checking: Promise<void> | null;
    try {
      request.finish();
      request.throwIfLate();
      checking = this.#checkedReply(source, entry, request, value);
    } catch (error) {
      this.#failedLater(source, request, error);
      return;
    }
    if (checking === null) source.handlerSettled(request);
    else void this.#freeSlotAfter(checking, source, request);
  }

  #failedLater(source: RequestSource<Peer>, request: IncomingRequest<Peer>, error: unknown): void {
    try {
      this.#callFailed(source, request, error);
    } finally {
      source.handlerSettled(request);
    }
  }

  #callSucceeded(
    source: RequestSource<Peer>,
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    result: unknown,
  ): void {
    request.finish();
    const checking = this.#checkedReply(source, entry, request, result);
    if (checking === null) return;
    source.handlerStarted(request);
    void this.#freeSlotAfter(checking, source, request);
  }

  async #freeSlotAfter(
    reply: Promise<void>,
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
  ): Promise<void> {
    try {
      await reply;
    } finally {
      source.handlerSettled(request);
    }
  }

  #callFailed(source: RequestSource<Peer>, request: IncomingRequest<Peer>, thrown: unknown): void {
    request.finish();
    if (source.isOver && request.explains(thrown)) {
      // Don't create an error: no caller would get it, it takes 10 µs, and thousands of calls may end together.
      request.streams?.answered();
      return;
    }
    this.#replyError(source, request, this.#outward(source, request, request.outcome(thrown), "rpc"));
  }

  /**
   * Validates a method's result and sends it. Returns null if it was sent, or a promise if the schema is asynchronous.
   */
  #checkedReply(
    source: RequestSource<Peer>,
    entry: MethodEntry<Peer>,
    request: IncomingRequest<Peer>,
    result: unknown,
  ): Promise<void> | null {
    if (entry.result === null || result instanceof RpcError) {
      this.#reply(source, request, result);
      return null;
    }
    try {
      const value = entry.result.run(result, request.method);
      if (isThenable(value)) return this.#replyLater(source, request, value);
      this.#reply(source, request, value);
    } catch (error) {
      this.#badResult(source, request, error);
    }
    return null;
  }

  async #replyLater(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    checking: PromiseLike<unknown>,
  ): Promise<void> {
    try {
      this.#reply(source, request, await checking);
    } catch (error) {
      this.#badResult(source, request, error);
    }
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  #message(source: RequestSource<Peer>, request: IncomingRequest<Peer>): void {
    if (this.#only?.type === request.method) {
      this.#runHandlers(source, request, this.#only, []);
      return;
    }
    const own = this.#registry.handlers(request.method);
    this.#only = own?.length === 1 ? (own[0] ?? null) : null;
    const entries = own ?? (source.hasNetconduitPeer ? this.#registry.netconduitHandlers(request.method) : undefined);
    if (entries !== undefined) {
      const [only = null] = entries;
      this.#runHandlers(source, request, entries.length === 1 ? only : null, entries);
      return;
    }
    const { client, method, value, bytes } = request;
    const hasHooks = this.#host.unknownMessage(client, method, value, bytes);
    if (hasHooks && !request.wantsReply) return;
    const hint = source.hasNetconduitPeer ? "" : didYouMean(request.method, this.#registry.messageTypes());
    const message = `No handler for message type '${request.method}'${hint}`;
    this.#replyError(source, request, new RpcError(ErrorCode.NO_HANDLER, message));
  }

  /** @param only the only handler; null for all of `entries` */
  #runHandlers(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    only: MessageEntry<Peer> | null,
    entries: readonly MessageEntry<Peer>[],
  ): void {
    try {
      if (only?.access) this.#allowed([only], request);
      const reply = only === null ? this.#runAll(source, entries, request) : this.#runOne(only, request);
      if (isThenable(reply)) {
        void this.#messageSettlesLater(source, request, reply);
        return;
      }
      request.finish();
      this.#messageReply(source, request, reply);
    } catch (error) {
      request.finish();
      this.#messageFailed(source, request, error);
    }
  }

  async #messageSettlesLater(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    reply: PromiseLike<unknown>,
  ): Promise<void> {
    source.handlerStarted(request);
    try {
      const value = await reply;
      request.finish();
      if (request.wantsReply) request.throwIfLate();
      this.#messageReply(source, request, value);
    } catch (error) {
      request.finish();
      if (!request.explains(error) || request.wantsReply) {
        this.#messageFailed(source, request, request.outcome(error));
      }
    } finally {
      source.handlerSettled(request);
    }
  }

  #runOne(entry: MessageEntry<Peer>, request: IncomingRequest<Peer>): unknown {
    if (!entry.middlewares) return this.#checkAndRun(entry, request);
    const run = new MiddlewareRun(entry.middlewares, request, () => {
      request.throwIfAborted();
      return this.#invokeLater(() => this.#checkAndRun(entry, request));
    });
    const result = run.start();
    if (!request.wantsReply) return result;
    return isThenable(result) ? result.then((value) => run.checked(value)) : run.checked(result);
  }

  #checkAndRun(entry: MessageEntry<Peer>, request: IncomingRequest<Peer>): unknown {
    if (entry.data === null) return invoke(entry, request.value, request);
    const data = entry.data.run(request.value, entry.type);
    return isThenable(data) ? this.#runOneLater(entry, request, data) : invoke(entry, data, request);
  }

  async #runOneLater(
    entry: MessageEntry<Peer>,
    request: IncomingRequest<Peer>,
    checking: PromiseLike<unknown>,
  ): Promise<unknown> {
    const data = await checking;
    request.throwIfAborted();
    return this.#invokeLater(() => invoke(entry, data, request));
  }

  /** The handlers that the sender's user has access to. @throws RpcError PERMISSION_DENIED if there are none */
  #allowed(entries: readonly MessageEntry<Peer>[], request: IncomingRequest<Peer>): readonly MessageEntry<Peer>[] {
    const { access } = this.#host;
    const { client, method } = request;
    const allowed = entries.filter((entry) => access.permits(client, entry.access ?? null));
    const [first] = entries;
    if (allowed.length === 0 && first !== undefined) access.mustHave(client, first.access ?? null, "message", method);
    return allowed;
  }

  /**
   * Starts all handlers that the sender may use, in order. The reply is the last return value. A failing handler doesn't
   * stop the others.
   */
  async #runAll(
    source: RequestSource<Peer>,
    entries: readonly MessageEntry<Peer>[],
    request: IncomingRequest<Peer>,
  ): Promise<unknown> {
    const allowed = this.#allowed(entries, request);
    const results = await Promise.allSettled(allowed.map(async (entry) => await this.#runOne(entry, request)));
    let reply: unknown;
    let failure: { error: unknown } | null = null;
    for (const result of results) {
      if (result.status === "fulfilled") {
        if (result.value !== undefined) reply = result.value;
      } else if (failure === null) failure = { error: result.reason };
      else this.#reportMessage(source, request, result.reason);
    }
    if (failure === null) return reply;
    if (reply === undefined) throw failure.error;
    this.#reportMessage(source, request, failure.error);
    return reply;
  }

  #reportMessage(source: RequestSource<Peer>, request: IncomingRequest<Peer>, error: unknown): void {
    if (isInstance(error, RpcError)) source.messageFailed(error, request.method);
    else this.#host.reportError(error, "message", request.client, request.method);
  }

  #messageReply(source: RequestSource<Peer>, request: IncomingRequest<Peer>, reply: unknown): void {
    if (reply instanceof RpcError) {
      this.#messageFailed(source, request, reply);
    } else if (request.wantsReply) {
      this.#reply(source, request, reply);
    } else if (!source.correlatesReplies && reply !== undefined && reply !== null) {
      this.#uncorrelatedReply(source, request, reply);
    }
  }

  #messageFailed(source: RequestSource<Peer>, request: IncomingRequest<Peer>, error: unknown): void {
    if (!request.wantsReply && isInstance(error, RpcError)) source.messageFailed(error, request.method);
    const outward = this.#outward(source, request, error, "message");
    if (request.wantsReply || source.correlatesReplies) this.#replyError(source, request, outward);
    else if (outward === error) this.#uncorrelatedReply(source, request, outward);
  }

  #uncorrelatedReply(source: RequestSource<Peer>, request: IncomingRequest<Peer>, reply: unknown): void {
    try {
      if (isInstance(reply, RpcError)) source.replies.sendUncorrelatedError(request, reply);
      else source.replies.sendUncorrelatedReply(`${request.method}_response`, reply);
    } catch (error) {
      this.#host.reportError(error, "message", request.client, request.method);
    }
  }

  // --- replies ------------------------------------------------------------------------------------------------------

  #reply(source: RequestSource<Peer>, request: IncomingRequest<Peer>, result: unknown): void {
    if (result instanceof RpcError) {
      this.#replyError(source, request, result);
      return;
    }
    if (!request.hasId) return;
    try {
      source.replies.sendResult(request, result);
    } catch (error) {
      this.#badResult(source, request, error);
    }
  }

  /** Reports a handler's result that can't be sent, which is this side's fault. */
  #badResult(source: RequestSource<Peer>, request: IncomingRequest<Peer>, error: unknown): void {
    const hidden = this.#hidden(source, request, error, "rpc");
    const isTooLarge = isInstance(error, ConduitError) && error.code === ErrorCode.MESSAGE_TOO_LARGE;
    const { details } = hidden;
    this.#replyError(source, request, isTooLarge ? new RpcError(error.code, error.message, { details }) : hidden);
  }

  /** Answers a request with an error. For one without a reply, the error is sent if the sender requests it. */
  #replyError(source: RequestSource<Peer>, request: IncomingRequest<Peer>, error: RpcError): void {
    const outward = withoutForeignRefusal(error);
    if (request.wantsReply) source.replies.sendError(request, outward);
    else if (request.reportsRefusal) source.replies.sendRefusal(request, outward);
  }

  /** Converts an error for the caller: an RpcError unchanged; any other is reported here, and only a code and an id are sent. */
  #outward(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    error: unknown,
    stage: "rpc" | "message",
  ): RpcError {
    return isInstance(error, RpcError) ? error : this.#hidden(source, request, error, stage);
  }

  #hidden(
    source: RequestSource<Peer>,
    request: IncomingRequest<Peer>,
    error: unknown,
    stage: "rpc" | "message",
  ): RpcError {
    const failureId = this.#host.newFailureId();
    this.#host.reportError(error, stage, request.client, String(calledOf(request)), failureId);
    const message = this.#host.exposeErrors ? messageOf(error) : "Internal server error";
    // netconduit's own server sends no details.
    const details = source.hasNetconduitPeer ? undefined : { failure_id: failureId };
    return new RpcError(ErrorCode.INTERNAL, message, { details });
  }
}

/** Marks the error of handlers that ran for a key, so that its sender doesn't treat it as a rejection and retry. */
function startedError(error: RpcError): RpcError {
  const code = codeOf(error);
  return isRefusal(code) || code === ErrorCode.TIMEOUT ? saysStarted(error) : error;
}

/**
 * Removes the mark "never started" from an error that a handler passes on from another server, because its own caller
 * would resend the call.
 */
function withoutForeignRefusal(error: RpcError): RpcError {
  const code = codeOf(error);
  if (code !== ErrorCode.SERVER_STOPPING && code !== ErrorCode.TIMEOUT) return error;
  try {
    return isMap(error.details) && error.details["started"] === false ? saysStarted(error) : error;
  } catch {
    // Details that throw can't be sent either.
    return error;
  }
}

function saysStarted(error: RpcError): RpcError {
  try {
    if (!isMap(error.details)) return error;
    return new RpcError(codeOf(error), messageOf(error), { details: { ...error.details, started: true } });
  } catch {
    // Details that throw can't be sent either.
    return error;
  }
}
