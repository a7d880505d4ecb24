import type { CallSettings } from "../endpoint/acknowledged-send.ts";
import { asConduitError, ConduitError, codeOf, ErrorCode, isInstance, RpcError } from "../errors.ts";
import type { Validator } from "../rpc/validation.ts";
import { isMap } from "../util/is-map.ts";
import { wasNeverStarted } from "./never-started.ts";
import type { PoolMember, PoolSender } from "./pool-sender.ts";

/** A server that may have started a call. */
interface Home {
  /** Null if unknown. */
  readonly member: PoolMember | null;
  /** The server's key scope, from the login at that time. */
  readonly keys: string | null;
  readonly error: unknown;
}

/**
 * The attempts of one call with `once`, or of one message with `ack`. Once a server may have started it, further
 * attempts go only to servers that share its keys; others would run it a second time.
 */
export class OnceAttempts {
  readonly #sender: PoolSender;
  #home: Home | null = null;

  constructor(sender: PoolSender) {
    this.#sender = sender;
  }

  async call(
    method: string,
    value: unknown,
    given: CallSettings | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    const options = this.#movable(given);
    if (this.#home !== null) return this.#again(this.#home).outgoing.call(method, value, options, validator);
    let member: PoolMember | null = null;
    let keys: string | null = null;
    const chosen = (one: PoolMember): void => {
      member = one;
      keys = one.onceKeys;
    };
    try {
      return await this.#sender.callTracked(chosen, method, value, options, validator);
    } catch (error) {
      if (!wasRefused(error)) this.#home = { member, keys, error };
      throw error;
    }
  }

  /** Without an answer in time, a message goes on waiting only if there is no other connection to try. */
  #movable(options: CallSettings | undefined): CallSettings | undefined {
    const overdue = options?.overdue;
    if (overdue === undefined) return options;
    return { ...options, overdue: (isSent) => (this.#sender.usable.length > 1 ? null : overdue(isSent)) };
  }

  /** Whether an attempt can be made now, or has failed permanently. If false, a server must connect first. */
  get canGoOn(): boolean {
    const { usable } = this.#sender;
    if (this.#home === null) return usable.length > 0;
    const { member, keys } = this.#home;
    const mayCome = keys !== null && member?.mayReturn === true;
    return !mayCome || usable.some(({ onceKeys }) => onceKeys === keys);
  }

  /** @throws ConduitError OUTCOME_UNKNOWN if no server with these keys can connect; CONNECTION_CLOSED if one may */
  #again({ member, keys, error }: Home): PoolMember {
    const sharing = keys === null ? null : this.#sender.choose((one) => one.onceKeys === keys);
    if (sharing !== null) return sharing;
    const { message } = asConduitError(error);
    const where = member === null ? "a server" : `the server ${member.address}`;
    if (keys !== null && member?.mayReturn === true) {
      const waits = `${message}; ${where} isn't connected again, and no connected one knows its keys`;
      throw new ConduitError(ErrorCode.CONNECTION_CLOSED, waits, { cause: error });
    }
    const rule = "servers know each other's keys if they share a store (the server's option resume.store)";
    const text = `${message}; ${where} may have carried it out, and it isn't begun again where its key isn't known: ${rule}`;
    throw new ConduitError(ErrorCode.OUTCOME_UNKNOWN, text, { cause: error });
  }
}

/** Whether certainly no server has started it. */
function wasRefused(error: unknown): boolean {
  if (wasNeverStarted(error)) return true;
  if (!isInstance(error, ConduitError)) return false;
  const started = isMap(error.details) ? error.details["started"] : undefined;
  return (
    started === false || (isInstance(error, RpcError) && codeOf(error) === ErrorCode.RATE_LIMITED && started !== true)
  );
}
