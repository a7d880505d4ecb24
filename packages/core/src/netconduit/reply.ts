/**
 * Replies to a netconduit client, which expects those of its own server: every result in a wrapper, and an error as a
 * result too, never as RPC_ERROR.
 */

import { ErrorCode, type RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { toNetconduitCode } from "./error-codes.ts";

/** An error as netconduit's `Error` helper builds it. */
export interface FailureWrapper {
  readonly success: false;
  readonly error: string;
  /** Missing for an error without a code of its own (UNKNOWN). */
  readonly code?: number;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Puts a handler's result into netconduit's wrapper, unless the handler made one, as `response.ok()` does. */
export function wrapResult(result: unknown): unknown {
  return hasSuccess(result) ? result : { success: true, data: result };
}

function hasSuccess(result: unknown): boolean {
  if (typeof result !== "object" || result === null) return false;
  if (result instanceof Map) return result.has("success");
  return Object.hasOwn(result, "success") && (result as { success: unknown }).success !== undefined;
}

/** Converts the error of a call, or of a message, to netconduit's result. `name` is the method or message type. */
export function wrapError(error: RpcError, name: string): FailureWrapper {
  const invalid = invalidFields(error);
  if (invalid !== null) {
    // Only the start of our message is netconduit's; the rest names the first field.
    const message = `Validation error in ${name}`;
    return {
      success: false,
      error: error.message.startsWith(`${message}: `) ? message : error.message,
      code: ErrorCode.VALIDATION,
      details: { ...error.details, errors: invalid.map(pydanticError) },
    };
  }
  const { message, code, details } = error;
  return {
    success: false,
    error: message,
    ...(code === ErrorCode.UNKNOWN ? {} : { code: toNetconduitCode(code) }),
    ...(details === undefined || Object.keys(details).length === 0 ? {} : { details }),
  };
}

interface InvalidField {
  readonly field: string;
  readonly message: string;
  readonly code: number;
}

/** The fields listed by an error of this library's validation; null for another error. */
function invalidFields(error: RpcError): readonly InvalidField[] | null {
  const list: unknown = error.details?.["errors"];
  if (!Array.isArray(list) || list.length === 0) return null;
  return list.every(isInvalidField) ? list : null;
}

function isInvalidField(value: unknown): value is InvalidField {
  if (!isMap(value)) return false;
  const { field, path, message, code } = value;
  return typeof field === "string" && Array.isArray(path) && typeof message === "string" && typeof code === "number";
}

/** As netconduit lists the errors of a Pydantic model. Pydantic has more types; these two tell the causes apart. */
function pydanticError({ field, message, code }: InvalidField): { field: string; message: string; type: string } {
  if (code === ErrorCode.MISSING_FIELD) return { field, message: "Field required", type: "missing" };
  return { field, message, type: code === ErrorCode.INVALID_TYPE ? "type_error" : "value_error" };
}
