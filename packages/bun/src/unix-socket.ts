import { lstat, unlink } from "node:fs/promises";
import { ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { codeOf } from "./bun-error.ts";
import { listenError } from "./socket-error.ts";

/**
 * Removes the socket file that a process which ended without closing left at `path`.
 * @throws ConduitError ADDRESS_IN_USE when a server answers there, or the file is no socket; ADDRESS_UNAVAILABLE when
 * it cannot be removed.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) {
      throw new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${path}: the file exists and is not a socket`);
    }
    const refusal = await probe(path);
    if (refusal !== "ECONNREFUSED" && refusal !== "ENOENT") {
      throw new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${path}: another server is listening there`);
    }
    await unlink(path);
  } catch (cause) {
    if (cause instanceof ConduitError) throw cause;
    // Gone in the meantime: just as well.
    if (codeOf(cause) !== "ENOENT") throw listenError(cause, path);
  }
}

/** Error code of an attempt to connect, or `""` when somebody answered. */
async function probe(path: string): Promise<string> {
  try {
    const socket = await Bun.connect({
      unix: path,
      socket: {
        data() {
          // Nothing that it says matters.
        },
      },
    });
    socket.terminate();
    return "";
  } catch (error) {
    return codeOf(error);
  }
}
