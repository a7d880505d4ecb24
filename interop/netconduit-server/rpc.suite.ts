import { ErrorCode, RpcError } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { Staged } from "../scene.ts";
import type { ServerScene } from "./scene.ts";

export function describeRpc(staged: Staged<ServerScene>): void {
  describe("RPC", () => {
    test(
      "a call gets its result without netconduit's wrapper",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        expect(await ours.call("add", { a: 2, b: 3 })).toBe(5);
      }),
    );

    test(
      "an error of a handler rejects with our code for netconduit's, message and details",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        const failure = await ours.call("refuse").catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(RpcError);
        expect(failure).toMatchObject({
          message: "Not today",
          code: ErrorCode.PERMISSION_DENIED,
          details: { weekday: "Monday" },
        });
      }),
    );

    test(
      "an exception in a handler rejects with INTERNAL",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        const failure = await ours.call("fail").catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(RpcError);
        expect(failure).toMatchObject({
          message: expect.stringContaining("the disk is full"),
          code: ErrorCode.INTERNAL,
        });
      }),
    );

    test(
      "an unknown method rejects with METHOD_NOT_FOUND",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        await expect(ours.call("nothing")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
      }),
    );

    test(
      "invalid parameters reject with every invalid field",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        await expect(ours.call("add", { a: "two" })).rejects.toMatchObject({
          code: ErrorCode.VALIDATION,
          message: "Validation error in add",
          details: {
            errors: [
              { field: "a", type: "int_parsing" },
              { field: "b", type: "missing" },
            ],
          },
        });
      }),
    );

    test(
      "callNoWait() runs the method, and its reply is ignored",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = await scene.logIn(target);
        ours.callNoWait("note", { text: "milk" });
        expect((await scene.driver.next({ event: "note", server: target.server })).text).toBe("milk");
        expect(await ours.call("add", { a: 1, b: 1 })).toBe(2);
      }),
    );

    test(
      "discover() lists the methods",
      staged(async (scene) => {
        const ours = await scene.logIn(await scene.listen());
        const methods = await ours.discover();
        expect(methods.map(({ name }) => name)).toEqual(["add", "echo", "note", "refuse", "fail", "never"]);
        expect(methods[0]).toEqual({
          name: "add",
          description: "Adds two numbers.",
          parameters: { a: "number", b: "number" },
          returnType: "number",
          requiresAuth: true,
        });
      }),
    );
  });
}
