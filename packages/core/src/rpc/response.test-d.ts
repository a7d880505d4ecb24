import { expectTypeOf, test } from "vitest";
import { type PaginatedResponse, type ResponseWithMetadata, response } from "./response.ts";

interface User {
  readonly id: number;
}
declare const user: User;

test("response(data) has the type of data, so that results are inferred through it", () => {
  expectTypeOf(response(user)).toEqualTypeOf<User>();
});

test("response(data, metadata) is the wrapper with both types", () => {
  expectTypeOf(response(user, { took: 3 })).toEqualTypeOf<ResponseWithMetadata<User, { took: number }>>();
});

test("response.ok has the members it was given", () => {
  expectTypeOf(response.ok()).toEqualTypeOf<{ readonly success: true }>();
  expectTypeOf(response.ok({ message: "m" })).toEqualTypeOf<{ readonly success: true; readonly message: string }>();
  expectTypeOf(response.ok({ data: user }).data).toEqualTypeOf<User>();
});

test("response.ok refuses names it does not know", () => {
  // @ts-expect-error a misspelt option
  response.ok({ mesage: "m" });
});

test("response.withPagination knows the type of an item", () => {
  expectTypeOf(response.withPagination({ data: [user], total: 1 })).toEqualTypeOf<PaginatedResponse<User>>();
});
