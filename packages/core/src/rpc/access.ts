/** Roles that methods, messages, streams, topics and folders ask for. */

import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";

/** Lists of roles: a user needs one of each. The contract and the program may both have one. */
export type Access = readonly (readonly string[])[];

/** A refusal for lack of a role, as in `server.onDenied`. */
export interface Denial {
  /** The call, message, topic or folder that was asked for. */
  readonly kind: "method" | "stream" | "message" | "subscribe" | "publish" | "files";
  /** Name of the method, stream, topic or folder; type of the message. */
  readonly name: string;
  /** Roles of which one would have been needed. */
  readonly roles: readonly string[];
}

/**
 * Null if every user has access.
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

/** Roles of which one would be needed besides these; null if they suffice. */
export function missingRoles(access: Access | null, own: readonly string[]): readonly string[] | null {
  return access?.find((roles) => !roles.some((role) => own.includes(role))) ?? null;
}

const ignore = (): void => undefined;

/** Checks the roles of an endpoint's peers. */
export class AccessControl<Peer> {
  /** Roles of a peer's user. Null on a client: servers have none. */
  rolesOf: ((peer: Peer) => readonly string[]) | null = null;
  /** Tells the application of each refusal. */
  denied: (peer: Peer, denial: Denial) => void = ignore;

  /** Whether a peer has the roles. */
  permits(peer: Peer, access: Access | null): boolean {
    return access === null || this.#missing(peer, access) === null;
  }

  #missing(peer: Peer, access: Access): readonly string[] | null {
    return missingRoles(access, this.rolesOf?.(peer) ?? []);
  }

  /** Refuses a peer without the roles. Returns the error for it, or null. */
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
 * The verdict of a function of the program; undefined and null count as false.
 * @throws ConduitError INVALID_RESULT
 */
export function verdictOf(given: unknown, what: string): boolean {
  if (typeof given === "boolean") return given;
  if (given === undefined || given === null) return false;
  throw new ConduitError(ErrorCode.INVALID_RESULT, `${what} must return true or false, got ${describeValue(given)}`);
}
