import type { RpcError } from "../errors.ts";
import { IncomingRequest, type ReplySender, type RequestSource } from "../rpc/incoming-request.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import type { FakeRuntime } from "./fake-runtime.ts";

/** A connection that records what the dispatcher sends. */
export class RecordingSource implements RequestSource<string>, ReplySender<string> {
  readonly context: { readonly wheel: TimerWheel; wallClock(): number; turnMs(): number };
  readonly replies = this;
  readonly peer = "the peer";
  isAuthenticated = true;
  correlatesReplies = true;
  hasNetconduitPeer = false;
  isOver = false;
  readonly drainSignal = new AbortController().signal;
  readonly sent: unknown[] = [];
  /** Types and errors of messages that failed. */
  readonly failed: unknown[] = [];
  readonly running = new Set<IncomingRequest<string>>();
  /** Thrown by `sendResult` and `sendUncorrelatedReply`. */
  refuse: Error | null = null;

  constructor(runtime: FakeRuntime) {
    this.context = {
      wheel: new TimerWheel(runtime),
      wallClock: () => runtime.wallClock(),
      turnMs: () => runtime.now(),
    };
  }

  sendResult({ idHi, idLo }: IncomingRequest<string>, result: unknown): void {
    if (this.refuse !== null) throw this.refuse;
    this.sent.push({ hi: idHi, lo: idLo, result });
  }

  sendError({ idHi, idLo }: IncomingRequest<string>, { message, code, details }: RpcError): void {
    this.sent.push({ hi: idHi, lo: idLo, message, code, details });
  }

  sendRefusal({ method }: IncomingRequest<string>, { message, code, details }: RpcError): void {
    this.sent.push({ refused: method, message, code, details });
  }

  sendUncorrelatedReply(type: string, data: unknown): void {
    if (this.refuse !== null) throw this.refuse;
    this.sent.push({ type, data });
  }

  sendUncorrelatedError({ method }: IncomingRequest<string>, error: RpcError): void {
    const { message, code, details } = error;
    const facts = details === undefined ? {} : { details };
    this.sendUncorrelatedReply(`${method}_response`, { success: false, error: message, code, ...facts });
  }

  messageFailed({ message }: RpcError, type: string): void {
    this.failed.push([type, message]);
  }

  handlerStarted(request: IncomingRequest<string>): void {
    this.running.add(request);
  }

  handlerSettled(request: IncomingRequest<string>): void {
    this.running.delete(request);
  }
}

/** Properties of a test request; all have defaults. */
export interface RequestFacts {
  readonly isCall?: boolean;
  readonly method?: string;
  readonly value?: unknown;
  readonly idHi?: number;
  readonly idLo?: number;
  /** From the start of the clock, when it arrives. */
  readonly timeoutMs?: number;
  readonly bytes?: number;
  readonly reportsRefusal?: boolean;
}

/** Creates a call, by default of `m` without parameters and with id 0/1. */
export function incomingRequest(source: RequestSource<string>, facts: RequestFacts = {}): IncomingRequest<string> {
  const { isCall = true, method = "m", value = {}, idHi = 0, idLo = 1, timeoutMs = 0, bytes = 0 } = facts;
  const content = { name: method, value, size: bytes };
  const id = { correlationHi: idHi, correlationLo: idLo };
  return new IncomingRequest(source, isCall, content, id, timeoutMs, facts.reportsRefusal);
}
