import { expectTypeOf, test } from "vitest";
import type { RpcError } from "../errors.ts";
import { error } from "./error-helpers.ts";

test("every helper makes an RpcError", () => {
  expectTypeOf(error("x", { code: 400 })).toEqualTypeOf<RpcError>();
  expectTypeOf(error.validation("x", { field: "a", received: 5 })).toEqualTypeOf<RpcError>();
  expectTypeOf(error.notFound("User", { identifier: 7n })).toEqualTypeOf<RpcError>();
  expectTypeOf(error.permissionDenied()).toEqualTypeOf<RpcError>();
  expectTypeOf(error.internal({ details: { a: 1 } })).toEqualTypeOf<RpcError>();
  expectTypeOf(error.internal("x")).toEqualTypeOf<RpcError>();
  expectTypeOf(error.timeout("x")).toEqualTypeOf<RpcError>();
  expectTypeOf(error.rateLimited({ retryAfterSeconds: 1 })).toEqualTypeOf<RpcError>();
});
