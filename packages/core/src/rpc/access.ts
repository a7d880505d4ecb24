/** Roles required by methods, messages, streams, topics and folders. */

import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";

/** Lists of roles, of each of which a user needs one. The contract and the program may each have a list. */
export type Access = readonly (readonly string[])[];

/** A denial because of a missing role, as passed to `server.onDenied`. */
export interface Denial {
  /** The kind of access that was denied. */
  readonly kind: "method" | "stream" | "message" | "subscribe" | "publish" | "files";
  /** Name of the method, stream, topic or folder, or type of the message. */
  readonly name: string;
  /** Roles, one of which would have been required. */
  readonly roles: readonly string[];
}

/**
 * Combines lists of roles. Null if every user has access.
 * @throws ConduitError INVALID_CONFIG if a list isn't one of at least one role
 */
export function accessOf(name: string, ...lists: (readonly string[] | undefined)[]): Access | null {
  const given = lists.filter((roles) => roles !== undefined);
  for (const roles of given) {
    if (!isRoleList(roles)) {
      const message = `The roles of '${name}' must be an array of one or more non-empty strings, got ${describeValue(roles)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
  }
  return given.length === 0 ? null : given.map((roles) => [...roles]);
}

export function isRoleList(roles: unknown): boolean {
  return Array.isArray(roles) && roles.length > 0 && roles.every((role) => typeof role === "string" && role !== "");
}

/** Roles, one of which is missing; null if the user's roles suffice. */
export function missingRoles(access: Access | null, own: readonly string[]): readonly string[] | null {
  return access?.find((roles) => !roles.some((role) => own.includes(role))) ?? null;
}

const ignore = (): void => undefined;

/** Checks the roles of an endpoint's peers. */
export class AccessControl<Peer> {
  /** Returns the roles of a peer's user. Null on a client, because servers have no roles. */
  rolesOf: ((peer: Peer) => readonly string[]) | null = null;
  /** Called for each denial. */
  denied: (peer: Peer, denial: Denial) => void = ignore;

  /** Whether a peer has the roles. */
  permits(peer: Peer, access: Access | null): boolean {
    return access === null || this.#missing(peer, access) === null;
  }

  #missing(peer: Peer, access: Access): readonly string[] | null {
    return missingRoles(access, this.rolesOf?.(peer) ?? []);
  }

  /** Checks a peer's roles. Returns the error for the peer, or null. */
  refusal(peer: Peer, access: Access | null, kind: Denial["kind"], name: string): RpcError | null {
    if (access === null) return null;
    const missing = this.#missing(peer, access);
    if (missing === null) return null;
    this.denied(peer, { kind, name, roles: missing });
    return new RpcError(ErrorCode.PERMISSION_DENIED, `Permission denied: '${name}' needs a role that this user lacks`);
  }

  /** @throws RpcError PERMISSION_DENIED */
  mustHave(peer: Peer, access: Access | null, kind: Denial["kind"], name: string): void {
    const refusal = this.refusal(peer, access, kind, name);
    if (refusal !== null) throw refusal;
  }
}

/**
 * The boolean result of an application's function; undefined and null count as false.
 * @throws ConduitError INVALID_RESULT
 */
export function verdictOf(given: unknown, what: string): boolean {
  if (typeof given === "boolean") return given;
  if (given === undefined || given === null) return false;
  throw new ConduitError(ErrorCode.INVALID_RESULT, `${what} must return true or false, got ${describeValue(given)}`);
}
