import { ErrorCode, RpcError } from "../../errors.ts";
import type { Member } from "./channel-host.ts";
import type { TopicChannel } from "./topic-channel.ts";

/** The topics of one connection. */
interface Own {
  /** Topics that it is subscribed to or has created. */
  readonly topics: Set<TopicChannel>;
  /** Names for which `authorize` is running, with the token of the client's call. */
  asked: Map<string, number> | null;
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
   * Records that `authorize` is running for a connection.
   * @param token of the client's call
   * @returns a function to call when it has finished: ends the record, and returns whether the client still wants
   *   this subscription
   */
  ask(member: Member, name: string, token: number): () => boolean {
    const own = this.#ownOf(member);
    own.asked ??= new Map();
    const { asked } = own;
    asked.set(name, token);
    return () => {
      const isWanted = asked.get(name) === token;
      if (isWanted) asked.delete(name);
      this.#forgetIfEmpty(member);
      return isWanted;
    };
  }

  /** The client has cancelled a pending subscription. */
  withdraw(member: Member, name: string): void {
    this.#members.get(member)?.asked?.delete(name);
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
