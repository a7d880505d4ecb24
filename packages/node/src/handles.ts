import { getSystemErrorName } from "node:util";
import { handleBinding, handleStreams } from "@netconduit/core/adapter";
import { errors } from "./node-error.ts";

// On Windows a read keeps its memory while it waits, and these streams share theirs.
const binding = process.platform === "win32" ? null : handleBinding(process);

/** Plaintext streams without a socket in between; null: there can be none. */
export const HandleStream: ReturnType<typeof handleStreams> | null =
  binding === null ? null : handleStreams({ binding, errors, nameOf: getSystemErrorName });
