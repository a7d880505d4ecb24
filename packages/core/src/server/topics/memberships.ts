import { ErrorCode, RpcError } from "../../errors.ts";
import type { Member } from "./channel-host.ts";
import type { TopicChannel } from "./topic-channel.ts";

/** The topics of one connection. */
interface Own {
  /** Topics that it is subscribed to or has created. */
  readonly topics: Set<TopicChannel>;
  /** The pending calls for each name. */
  asked: Map<string, Set<symbol>> | null;
}

/** The topics that each connection is subscribed to, and its pending subscriptions. */
export class Memberships {
  readonly #maxSubscriptions: number;
  readonly #members = new Map<Member, Own>();

  constructor(maxSubscriptions: number) {
    this.#maxSubscriptions = maxSubscriptions;
  }

  topicsOf(member: Member): Iterable<TopicChannel> {
    return this.#members.get(member)?.topics ?? [];
  }

  add(member: Member, channel: TopicChannel): void {
    this.#ownOf(member).topics.add(channel);
  }

  delete(member: Member, channel: TopicChannel): void {
    this.#members.get(member)?.topics.delete(channel);
    this.#forgetIfEmpty(member);
  }

  /** Removes and returns all topics of a connection. */
  takeAll(member: Member): Iterable<TopicChannel> {
    const topics = this.topicsOf(member);
    this.#members.delete(member);
    return topics;
  }

  /** @throws RpcError TOO_MANY_SUBSCRIPTIONS */
  mustHaveRoom(member: Member, name: string): void {
    const own = this.#members.get(member);
    const max = this.#maxSubscriptions;
    if (own === undefined || sizeOf(own) < max) return;
    const message = `Cannot subscribe to '${name}': the connection has maxSubscriptions ${max}`;
    throw new RpcError(ErrorCode.TOO_MANY_SUBSCRIPTIONS, message, { details: { limit: max } });
  }

  /**
   * Records that a call is pending, because `authorize` is running or a log is being opened.
   * @returns a function to call when it has finished: ends the record, and returns whether the client still wants
   *   this subscription
   */
  ask(member: Member, name: string): () => boolean {
    const own = this.#ownOf(member);
    own.asked ??= new Map();
    const { asked } = own;
    const calls = asked.get(name) ?? new Set();
    const call = Symbol(name);
    calls.add(call);
    asked.set(name, calls);
    return () => {
      const isWanted = calls.delete(call);
      if (calls.size === 0 && asked.get(name) === calls) asked.delete(name);
      this.#forgetIfEmpty(member);
      return isWanted;
    };
  }

  /** The client has cancelled its pending calls. */
  withdraw(member: Member, name: string): void {
    const { asked } = this.#members.get(member) ?? {};
    asked?.get(name)?.clear();
    asked?.delete(name);
    this.#forgetIfEmpty(member);
  }

  #ownOf(member: Member): Own {
    let own = this.#members.get(member);
    if (own === undefined) {
      own = { topics: new Set(), asked: null };
      this.#members.set(member, own);
    }
    return own;
  }

  #forgetIfEmpty(member: Member): void {
    const own = this.#members.get(member);
    if (own !== undefined && sizeOf(own) === 0) this.#members.delete(member);
  }
}

function sizeOf({ topics, asked }: Own): number {
  return topics.size + (asked?.size ?? 0);
}
