/** The result of `listall` uses netconduit's keys and Python's type names; `discover()` returns TypeScript's. */

import { ConduitError, ErrorCode } from "../errors.ts";

/** A method in the result of `listall`. */
export interface MethodDescription {
  readonly name: string;
  readonly description: string;
  /** Python type of each parameter, by name. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly return_type: string;
  readonly requires_auth: boolean;
}

/** A method of the peer, as returned by `discover()`. */
export interface MethodInfo {
  readonly name: string;
  readonly description: string;
  /** Type of each parameter by name, for example `"number"`; ends in `" | null"` if the parameter is optional. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Type of the result; `"unknown"` if the method has no schema for it. */
  readonly returnType: string;
  readonly requiresAuth: boolean;
}

const TYPE_NAMES: ReadonlyMap<string, string> = new Map([
  ["str", "string"],
  ["int", "number"],
  ["float", "number"],
  ["bool", "boolean"],
  ["bytes", "Uint8Array"],
  ["datetime", "Date"],
  ["list", "unknown[]"],
  ["dict", "object"],
  ["None", "null"],
  ["Any", "unknown"],
]);

/**
 * Converts the result of `listall`.
 *
 * @throws ConduitError INVALID_PAYLOAD_SHAPE if it isn't a list of methods
 */
export function parseDiscovery(answer: unknown): MethodInfo[] {
  const methods = (answer as { methods?: unknown } | null)?.methods;
  if (!Array.isArray(methods)) {
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "The answer to listall has no list of methods");
  }
  return methods.map(parseMethod);
}

function parseMethod(method: unknown): MethodInfo {
  const { name, description, parameters, return_type, requires_auth } = (method ?? {}) as Partial<
    Record<keyof MethodDescription, unknown>
  >;
  if (typeof name !== "string") {
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "The answer to listall has a method without a name");
  }
  const types = typeof parameters === "object" && parameters !== null ? Object.entries(parameters) : [];
  return {
    name,
    description: typeof description === "string" ? description : "",
    parameters: Object.fromEntries(types.map(([parameter, type]) => [parameter, typeScriptName(type)])),
    returnType: typeScriptName(return_type),
    requiresAuth: requires_auth !== false,
  };
}

/** Translates a union of Python types, `int | None`. Types it doesn't know stay as they are. */
function typeScriptName(pythonName: unknown): string {
  if (typeof pythonName !== "string") return "unknown";
  const names = pythonName.split(" | ").map((name) => TYPE_NAMES.get(name) ?? name);
  return [...new Set(names)].join(" | ");
}
