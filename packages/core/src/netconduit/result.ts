import { ErrorCode, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";

/**
 * Takes a result out of the wrapper that a netconduit server puts around every result: `{success: true, data}` becomes
 * `data`. A wrapper with more in it (`response.ok(message)`, pagination, metadata), and anything that is no wrapper, is
 * returned as it is.
 *
 * @throws RpcError when the wrapper says `{success: false, error}`, with netconduit's code (UNKNOWN if it gave none)
 * and details. netconduit's numbers are passed on; a few mean something else there (its `TIMEOUT` is 1002).
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
  return new RpcError(Number.isSafeInteger(code) ? (code as number) : ErrorCode.UNKNOWN, error as string, {
    details: Object.keys(facts).length === 0 ? undefined : facts,
  });
}
