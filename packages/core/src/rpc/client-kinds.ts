/** Kinds of clients in a contract, such as devices and operators. A client is of each kind that its user has as a role. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import type { Contract, MessageInput, SideContract } from "./contract.ts";
import { didYouMean } from "./nearest-name.ts";
import type { Schema } from "./schema.ts";

/** Resolves to the names themselves, so that the compiler shows them. */
type Names<T> = keyof T & string extends infer N extends string ? N : never;
/** Kinds of clients that a contract lists; `never` if it lists none, `string` for the open contract. */
export type ClientKind<C extends Contract> = Names<NonNullable<C["clients"]>>;

type Part = keyof SideContract;
type PartOf<S, P extends Part> = S extends { readonly [_ in P]: infer Entries } ? Entries : Record<never, never>;
/** The part of all clients together with the part of one kind. */
type Merged<All, Own> = { readonly [P in Part]: PartOf<All, P> & PartOf<Own, P> };
type ContractOf<C extends Contract, K> = Pick<C, Extract<keyof C, "server" | "topics">> & {
  readonly client: Merged<
    C["client"],
    K extends keyof NonNullable<C["clients"]> ? NonNullable<C["clients"]>[K] : never
  >;
};
/** The contract for clients of one kind: its part `client` merges the parts of all clients and of that kind. */
export type ForClient<C extends Contract, K extends string> =
  string extends ClientKind<C> ? C : ContractOf<C, K> extends infer F extends Contract ? F : never;

type KindsOf<C extends Contract> = NonNullable<C["clients"]>;
/** A function type for each kind that has the message `T`; their intersection's parameter is data that fits all of them. */
type Takers<C extends Contract, T> = {
  [K in ClientKind<C>]: T extends keyof PartOf<KindsOf<C>[K], "messages">
    ? (data: MessageInput<{ readonly client: KindsOf<C>[K] }, "client", T & string>) => void
    : never;
}[ClientKind<C>];
type KindMessage<C extends Contract> = {
  [K in ClientKind<C>]: Names<PartOf<KindsOf<C>[K], "messages">>;
}[ClientKind<C>];
type KindMessages<C extends Contract> = {
  readonly [T in KindMessage<C>]: Takers<C, T> extends (data: infer D) => void ? Schema<D> : never;
};
/** A contract whose part `client` includes the messages of all kinds. */
export type AllKinds<C extends Contract> = [ClientKind<C>] extends [never]
  ? C
  : string extends ClientKind<C>
    ? C
    : { readonly client: { readonly messages: PartOf<C["client"], "messages"> & KindMessages<C> } };

const PARTS: readonly Part[] = ["methods", "streams", "messages", "files"];

/**
 * The contract for the clients of one kind, as their option `contract`.
 * @throws ConduitError INVALID_CONFIG if the contract has no such kind
 */
export function forClient<C extends Contract, K extends ClientKind<C>>(contract: C, kind: K): ForClient<C, K> {
  mustHaveKind(contract, kind);
  const { clients = {}, client, ...rest } = contract;
  return { ...rest, client: mergedSides([client, clients[kind]]) } as unknown as ForClient<C, K>;
}

/** @throws ConduitError INVALID_CONFIG if the contract has no such kind */
export function mustHaveKind(contract: Contract, kind: string): void {
  if (typeof contract !== "object" || contract === null) {
    const message = `forClient(contract, kind) needs a contract, got ${describeValue(contract)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const clients = contract.clients ?? {};
  if (typeof kind === "string" && Object.hasOwn(clients, kind)) return;
  const hint = typeof kind === "string" ? didYouMean(kind, Object.keys(clients)) : "";
  const named = typeof kind === "string" ? `'${kind}'` : describeValue(kind);
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `The contract has no kind of clients ${named}${hint}`);
}

/** The union of all client parts; undefined if there are none. */
export function anyClientSide({ client, clients }: Contract): SideContract | undefined {
  return clients === undefined ? client : mergedSides([client, ...Object.values(clients)]);
}

function mergedSides(sides: readonly (SideContract | undefined)[]): SideContract {
  const given = sides.filter((side) => side !== undefined);
  const parts = PARTS.map((part) => [part, Object.assign({}, ...given.map((side) => side[part]))] as const);
  return Object.fromEntries(parts.filter(([, entries]) => Object.keys(entries).length > 0));
}

/** Maps methods, streams and messages to the kinds of clients that have them, if not all do. */
export class ClientKinds {
  readonly #callable: Map<string, string[]> = new Map();
  readonly #messages: Map<string, string[]> = new Map();

  constructor(clients: NonNullable<Contract["clients"]>) {
    for (const [kind, { methods, streams, messages }] of Object.entries(clients)) {
      for (const name of Object.keys({ ...methods, ...streams })) add(this.#callable, name, kind);
      for (const type of Object.keys(messages ?? {})) add(this.#messages, type, kind);
    }
  }

  /** The kinds that have a method or stream; undefined if all clients have it, or it isn't in the contract. */
  ofCall(name: string): readonly string[] | undefined {
    return this.#callable.get(name);
  }

  /** The kinds that have a message. */
  ofMessage(type: string): readonly string[] | undefined {
    return this.#messages.get(type);
  }

  /** @throws ConduitError PEER_UNSUPPORTED for a message that only some kinds have */
  mustBeForAll(type: string): void {
    const kinds = this.ofMessage(type);
    if (kinds === undefined) return;
    const message =
      `Cannot broadcast '${type}' to all clients: the contract has it for clients of the kind ${kinds.join(", ")}. ` +
      "Use server.clients(kind).broadcast";
    throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message, { details: { kinds } });
  }

  /** @throws ConduitError PEER_UNSUPPORTED for a message of other kinds */
  mustBeForKind(type: string, kind: string): void {
    const kinds = this.ofMessage(type);
    if (kinds === undefined || kinds.includes(kind)) return;
    const message = `Cannot broadcast '${type}' to clients of the kind ${kind}: the contract has it for ${kinds.join(", ")}`;
    throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message, { details: { kinds } });
  }
}

function add(kinds: Map<string, string[]>, name: string, kind: string): void {
  const known = kinds.get(name);
  if (known === undefined) kinds.set(name, [kind]);
  else known.push(kind);
}
