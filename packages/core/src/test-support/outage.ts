import { vi } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { FakeRuntime } from "./fake-runtime.ts";

/** Makes all connection attempts fail until the returned function is called. */
export function outage(runtime: FakeRuntime): () => void {
  const error = new ConduitError(ErrorCode.CONNECTION_REFUSED, "The network is down");
  const connect = vi.spyOn(runtime, "connect").mockRejectedValue(error);
  return () => connect.mockRestore();
}
