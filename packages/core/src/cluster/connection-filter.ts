/** A filter for connections that can be sent to other nodes. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { malformed } from "./envelope.ts";

/** Selects connections that match every given field. */
export interface ConnectionFilter {
  /** One or more user names. */
  readonly user?: string | readonly string[] | undefined;
  /** One or more roles, at least one of which the user has. */
  readonly role?: string | readonly string[] | undefined;
  /** One or more topics, at least one of which the connection is subscribed to. */
  readonly topic?: string | readonly string[] | undefined;
}

/** The fields of a connection that filters use. */
export interface FilteredConnection {
  readonly user: { readonly name: string; readonly roles: readonly string[] };
  isSubscribed(topic: string): boolean;
}

const KEYS: readonly string[] = ["user", "role", "topic"];
const MAX_VALUES = 1000;

/** Checks the option `where` of a method. @throws ConduitError INVALID_CONFIG if the value isn't a filter */
export function checkFilter(value: unknown, method: string): ConnectionFilter {
  const problem = filterProblem(value);
  if (problem === null) return value as ConnectionFilter;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid option where of ${method}: ${problem}`);
}

/** Reads a filter from another node; null for all connections. @throws ConduitError MALFORMED_PAYLOAD */
export function readFilter(value: unknown): ConnectionFilter | null {
  if (value === undefined || value === null) return null;
  const problem = filterProblem(value);
  if (problem === null) return value as ConnectionFilter;
  throw malformed("where", "a filter");
}

export function fitsFilter(connection: FilteredConnection, { user, role, topic }: ConnectionFilter): boolean {
  if (user !== undefined && !valuesOf(user).includes(connection.user.name)) return false;
  if (role !== undefined && !valuesOf(role).some((one) => connection.user.roles.includes(one))) return false;
  return topic === undefined || valuesOf(topic).some((name) => connection.isSubscribed(name));
}

function filterProblem(value: unknown): string | null {
  if (!isMap(value)) return "must be an object with user, role or topic, or a function";
  for (const [key, given] of Object.entries(value)) {
    if (!KEYS.includes(key)) return `unknown key ${JSON.stringify(key).slice(0, 100)}; it takes ${KEYS.join(", ")}`;
    if (given === undefined) continue;
    const values: unknown = typeof given === "string" ? [given] : given;
    const isList =
      Array.isArray(values) &&
      values.length > 0 &&
      values.length <= MAX_VALUES &&
      values.every((one) => typeof one === "string");
    if (!isList) return `${key} must be a string, or a list of 1 to ${MAX_VALUES} strings`;
  }
  return null;
}

function valuesOf(given: string | readonly string[]): readonly string[] {
  return typeof given === "string" ? [given] : given;
}
