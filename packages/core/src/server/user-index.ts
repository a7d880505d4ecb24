import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { AnyConnection } from "./connection.ts";

type Protocol = ProtocolConnection<AnyConnection>;

/** The connections of each user. Built on first use, because most servers never need it. */
export class UserIndex {
  readonly #all: () => Iterable<Protocol>;
  #byUser: Map<string, Set<Protocol>> | null = null;

  /** @param all the connections of logged-in clients */
  constructor(all: () => Iterable<Protocol>) {
    this.#all = all;
  }

  /** The connections of the user with this name. */
  of(name: string): Iterable<Protocol> {
    if (this.#byUser === null) {
      this.#byUser = new Map();
      for (const protocol of this.#all()) this.add(protocol);
    }
    return this.#byUser.get(name) ?? [];
  }

  add(protocol: Protocol): void {
    if (this.#byUser === null) return;
    const { name } = protocol.peer.user;
    const own = this.#byUser.get(name) ?? new Set();
    this.#byUser.set(name, own.add(protocol));
  }

  delete(protocol: Protocol): void {
    const { name } = protocol.peer.user;
    const own = this.#byUser?.get(name);
    if (own?.delete(protocol) === true && own.size === 0) this.#byUser?.delete(name);
  }
}
