import type { CallOptions, SendOptions } from "../endpoint/call-options.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { type Called, ConduitError, codeOf, ErrorCode, isInstance } from "../errors.ts";
import type { Validator } from "../rpc/validation.ts";
import type { Clock } from "../util/clock.ts";
import { wasNeverStarted } from "./never-started.ts";
import { PoolRoom } from "./pool-room.ts";
import type { Choose, Load } from "./strategy.ts";

/** A connection that a {@link PoolSender} may choose. */
export interface PoolMember extends Load {
  /** The address of its server. */
  readonly address: string;
  readonly outgoing: Outgoing;
  /** Identifies the set of `ack` and `once` keys that its server has; null if unknown. */
  readonly onceKeys: string | null;
  /** Whether it is disconnected and may reconnect. */
  readonly mayReturn: boolean;
  /** Records a call's duration. @param nowMs monotonic milliseconds */
  measured(ms: number, nowMs: number): void;
}

/** Called for each connection that a call is sent over. */
type Chosen = (member: PoolMember) => void;

/** A call or request that is sent to one server after another until one has started it. */
interface PoolCall {
  readonly kind: "call" | "request";
  /** Method or message type. */
  readonly name: string;
  readonly value: unknown;
  readonly options: CallOptions | undefined;
  readonly validator: Validator<unknown> | null;
  readonly chosen: Chosen | undefined;
  readonly startedAtMs: number;
}

/** Settings of a {@link PoolSender}. */
export interface SenderSettings {
  readonly choose: Choose;
  /** Whether to measure replies. */
  readonly measures: boolean;
  readonly rpcTimeoutMs: number;
  readonly clock: Clock;
  /** Queues or rejects messages and calls while no server accepts them. */
  readonly offline: Outgoing;
  /** Whether `offline` queues. */
  readonly queues: boolean;
}

/**
 * Sends each message and call over one of the pool's connections, and to another server if the first certainly didn't
 * start it.
 */
export class PoolSender implements Outgoing {
  /** Connections that accept messages and calls. Replaced as a whole, never mutated. */
  usable: readonly PoolMember[] = [];
  readonly #settings: SenderSettings;
  readonly #room = new PoolRoom();
  #movedCalls = 0;

  constructor(settings: SenderSettings) {
    this.#settings = settings;
  }

  /** Number of times that a call or request was moved to another server. */
  get movedCalls(): number {
    return this.#movedCalls;
  }

  sendMessage(type: string, data: unknown, options?: SendOptions): boolean {
    return this.#send((outgoing) => outgoing.sendMessage(type, data, options));
  }

  callNoWait(method: string, params: unknown, options?: SendOptions): boolean {
    return this.#send((outgoing) => outgoing.callNoWait(method, params, options));
  }

  call(
    method: string,
    params: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return this.#call("call", method, params, options, validator);
  }

  /**
   * Like `call`. `chosen` is called with each connection before the call is sent over it. The call is queued only if
   * there is no connection at first, and then `chosen` isn't called.
   */
  callTracked(
    chosen: Chosen,
    method: string,
    params: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return this.#call("call", method, params, options, validator, chosen);
  }

  request(
    type: string,
    data: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    return this.#call("request", type, data, options, validator);
  }

  /** Chooses one of the usable connections that match; null if there are none. */
  choose(fits: (member: PoolMember) => boolean): PoolMember | null {
    const candidates = this.usable.filter(fits);
    return candidates.length === 0 ? null : this.#settings.choose(candidates);
  }

  /** Chooses a connection for a stream, which stays on it. */
  streamConnection(called: Called): ReturnType<Outgoing["streamConnection"]> {
    const { usable } = this;
    const { choose, offline } = this.#settings;
    return (usable.length === 0 ? offline : choose(usable).outgoing).streamConnection(called);
  }

  /** Resolves when a connection has room. */
  async waitForRoom(): Promise<void> {
    if (this.usable.length === 0) return this.#settings.offline.waitForRoom();
    await this.#room.wait(this.usable);
  }

  #send(send: (outgoing: Outgoing) => boolean): boolean {
    const { usable } = this;
    if (usable.length === 0) return send(this.#settings.offline);
    const tried: PoolMember[] = [];
    let failure: unknown;
    let member: PoolMember | null = this.#settings.choose(usable);
    while (member !== null) {
      try {
        return send(member.outgoing);
      } catch (error) {
        if (!wasNeverStarted(error)) throw error;
        failure = error;
      }
      tried.push(member);
      member = this.#another(tried);
    }
    throw failure;
  }

  #call(
    kind: PoolCall["kind"],
    name: string,
    value: unknown,
    options: CallOptions | undefined,
    validator: Validator<unknown> | null,
    chosen?: Chosen,
  ): Promise<unknown> {
    const { usable } = this;
    const { choose, clock, measures, offline } = this.#settings;
    if (usable.length === 0) return offline[kind](name, value, options, validator);
    const member = usable.length === 1 ? (usable[0] as PoolMember) : choose(usable);
    const startedAtMs = clock.now();
    chosen?.(member);
    const reply = member.outgoing[kind](name, value, options, validator);
    const failed = (error: unknown): Promise<unknown> =>
      this.#failed({ kind, name, value, options, validator, chosen, startedAtMs }, member, error);
    if (!measures) return reply.catch(failed);
    // One more promise per call. An async function would take three, and 0.4 µs.
    return reply.then((result) => {
      const nowMs = clock.now();
      member.measured(nowMs - startedAtMs, nowMs);
      return result;
    }, failed);
  }

  /** A call failed on `member`: sends it to one server after another as long as it certainly wasn't started. */
  async #failed(call: PoolCall, member: PoolMember, error: unknown): Promise<unknown> {
    const { kind, name, value, options, validator, chosen } = call;
    const { clock, measures, offline, queues, rpcTimeoutMs } = this.#settings;
    // Other failures are fast, and would make the server look fast.
    if (measures && isTimeout(error)) member.measured(clock.now() - call.startedAtMs, clock.now());
    const tried = [member];
    let failure = error;
    while (wasNeverStarted(failure)) {
      const timeoutMs = options?.timeoutMs ?? rpcTimeoutMs;
      const leftMs = timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (clock.now() - call.startedAtMs));
      const rest = { ...options, timeoutMs: leftMs };
      const next = this.#another(tried);
      // The caller of a tracked call has to know which server gets it, and makes another attempt itself.
      if (next === null && (chosen !== undefined || !queues || this.usable.length > 0)) break;
      if (next === null) return offline[kind](name, value, rest, validator);
      tried.push(next);
      this.#movedCalls += 1;
      chosen?.(next);
      try {
        return await next.outgoing[kind](name, value, rest, validator);
      } catch (again) {
        failure = again;
      }
    }
    throw failure;
  }

  /** A connection that wasn't tried yet, preferably to a server that wasn't tried either. */
  #another(tried: readonly PoolMember[]): PoolMember | null {
    const others = this.usable.filter((member) => !tried.includes(member));
    const elsewhere = others.filter(({ address }) => tried.every((member) => member.address !== address));
    const candidates = elsewhere.length > 0 ? elsewhere : others;
    return candidates.length === 0 ? null : this.#settings.choose(candidates);
  }
}

function isTimeout(error: unknown): boolean {
  return isInstance(error, ConduitError) && codeOf(error) === ErrorCode.TIMEOUT;
}
