import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import { type Handles, handlesOf } from "@netconduit/core/adapter";
import { errors } from "./node-error.ts";

/** Plaintext connections without sockets; null: there can be none. */
export const handles: Handles | null = handlesOf(process, { errors, nameOf: getSystemErrorName, familyOf: isIP });
