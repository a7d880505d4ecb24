import { ErrorCode, error } from "@netconduit/core";
import * as v from "valibot";
import type { OpenServer } from "../../conformance/support/subject.ts";

/** Registers the methods used by several tests. */
export function withMethods(server: OpenServer): void {
  const params = v.object({ a: v.pipe(v.number(), v.integer()), b: v.pipe(v.number(), v.integer()) });
  const description = "Adds two numbers.";
  server.rpc({ name: "add", description, params, result: v.number() }, ({ a, b }) => a + b);
  server.rpc("echo", ({ value }) => value);
  server.rpc("refuse", () => {
    throw error("Not today", { code: ErrorCode.PERMISSION_DENIED, details: { weekday: "Monday" } });
  });
  server.rpc("fail", () => {
    throw new Error("the disk is full");
  });
}
