import { expect, test } from "vitest";
import { type AnyMiddleware, MiddlewareRun } from "./middleware.ts";

function run(handler: () => unknown, ...middlewares: AnyMiddleware<null>[]): unknown {
  const context = { kind: "hook", client: null, method: "test", addedNames: null } as const;
  return new MiddlewareRun(middlewares, context, handler).start();
}

const handsOn: AnyMiddleware<null> = (_context, next) => next();

test("a synchronous handler is answered at once if its middlewares return what next() returned", () => {
  expect(run(() => 7, handsOn, handsOn)).toBe(7);
  expect(run(() => undefined, handsOn)).toBe(undefined);
});

test("a middleware that returns null without next() has null as its result, as its schema may want", () => {
  expect(
    run(
      () => 7,
      () => null,
    ),
  ).toBeNull();
});

test("each next() may be called once, wherever its middleware stands", async () => {
  let runs = 0;
  const twice: AnyMiddleware<null> = async (_context, next) => {
    await next();
    return await next();
  };
  for (const middlewares of [[twice], [handsOn, twice], [twice, handsOn]]) {
    const result = run(() => ++runs, ...middlewares);
    await expect(result).rejects.toThrow("A middleware of 'test' called next() twice");
  }
  expect(runs).toBe(3);
});

test("a middleware that waits is waited for", async () => {
  const waits: AnyMiddleware<null> = async (_context, next) => await next();
  const result = run(() => 7, handsOn, waits);
  expect(result).toBeInstanceOf(Promise);
  expect(await result).toBe(7);
});

test("a result that runs when it is awaited, as queries of some databases do, runs once", async () => {
  let runs = 0;
  const query = {
    // biome-ignore lint/suspicious/noThenProperty: what is tested
    then(resolve: (value: number) => void) {
      runs += 1;
      resolve(7);
    },
  };
  expect(await run(() => query, handsOn)).toBe(7);
  expect(runs).toBe(1);
});
