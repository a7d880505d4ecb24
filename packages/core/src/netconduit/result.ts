import { ErrorCode, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { fromNetconduitCode } from "./error-codes.ts";

/**
 * Removes the wrapper that a netconduit server puts around every result: `{success: true, data}` becomes `data`. A
 * wrapper with other keys (`response.ok(message)`, pagination, metadata), and a value without a wrapper, are returned
 * unchanged.
 *
 * @throws RpcError for `{success: false, error}`, with details and our code for netconduit's (UNKNOWN if there is none)
 */
export function unwrapNetconduitResult(result: unknown): unknown {
  if (!isMap(result)) return result;
  if (result.success === true) {
    return Object.keys(result).length === 2 && Object.hasOwn(result, "data") ? result.data : result;
  }
  if (result.success === false && typeof result.error === "string") throw errorFromWrapper(result);
  return result;
}

function errorFromWrapper(wrapper: Record<string, unknown>): RpcError {
  const { success, error, code, details, ...rest } = wrapper;
  const facts = { ...rest, ...(isMap(details) ? details : {}) };
  const known = Number.isSafeInteger(code) ? fromNetconduitCode(code as number) : ErrorCode.UNKNOWN;
  return new RpcError(known, error as string, {
    details: Object.keys(facts).length === 0 ? undefined : facts,
  });
}
