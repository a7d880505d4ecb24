import { dialBinding, type HandleDialler, handleDialler } from "./dial-handles.ts";
import { type BindingProcess, handleBinding } from "./handle.ts";
import { type HandleStreamClass, handleStreams } from "./handle-stream.ts";
import type { SocketErrors } from "./socket-errors.ts";

/** What handles need of a runtime. */
export interface HandleTools {
  readonly errors: SocketErrors;
  /** The name of an error's number: `"ECONNRESET"`. */
  nameOf(status: number): string;
  /** 4 or 6 for an address of that family, 0 for a name: `net.isIP`. */
  familyOf(host: string): number;
}

/** Plaintext connections without sockets of `node:net` around them. */
export interface Handles {
  readonly Stream: HandleStreamClass;
  /** Connects for such a stream; null: sockets have to, and give away their handles. */
  readonly dial: HandleDialler | null;
}

/**
 * What can be done without sockets; null: nothing can.
 * @param process Node's global of that name
 */
export function handlesOf(process: BindingProcess & { readonly platform: string }, tools: HandleTools): Handles | null {
  // On Windows a read keeps its memory while it waits, and these streams share theirs.
  const binding = process.platform === "win32" ? null : handleBinding(process);
  if (binding === null) return null;
  const dialling = dialBinding(process);
  return {
    Stream: handleStreams({ ...tools, binding }),
    dial: dialling === null ? null : handleDialler({ ...tools, binding: dialling }),
  };
}
