import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/test-support/event-log.ts";
import type { Staged } from "../scene.ts";
import { withMethods } from "./methods.ts";
import type { ClientScene } from "./scene.ts";

export function describeRpc(staged: Staged<ClientScene>): void {
  describe("RPC", () => {
    test(
      "a call gets its result",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        expect(await scene.driver.run("call", { client, method: "add", params: { a: 2, b: 3 } })).toBe(5);
      }),
    );

    test(
      "an error of a handler reaches the caller with its code, message and details",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        await expect(scene.driver.run("call", { client, method: "refuse", params: {} })).rejects.toMatchObject({
          type: "RPCError",
          message: "Not today",
          code: ErrorCode.PERMISSION_DENIED,
          details: { weekday: "Monday" },
        });
      }),
    );

    test(
      "an unexpected error reaches the caller as INTERNAL without its message, and onError with it",
      staged(async (scene) => {
        const errors = new EventLog<unknown>();
        const server = await scene.listen({}, (made) => {
          withMethods(made);
          made.onError((failure, context) => errors.add([failure.message, context.stage, context.name]));
        });
        const { client } = await scene.logIn(server);
        await expect(scene.driver.run("call", { client, method: "fail", params: {} })).rejects.toMatchObject({
          type: "RPCError",
          message: "Internal server error",
          code: ErrorCode.INTERNAL,
        });
        expect(errors.all).toEqual([["the disk is full", "rpc", "fail"]]);
      }),
    );

    test(
      "an unknown method is METHOD_NOT_FOUND",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        await expect(scene.driver.run("call", { client, method: "nothing", params: {} })).rejects.toMatchObject({
          type: "RPCError",
          code: ErrorCode.METHOD_NOT_FOUND,
        });
      }),
    );

    test(
      "invalid parameters are rejected with every invalid field",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        await expect(scene.driver.run("call", { client, method: "add", params: { a: "two" } })).rejects.toMatchObject({
          type: "RPCError",
          message: 'Validation error in add: a: Invalid type: Expected number but received "two" (and 1 more)',
          code: ErrorCode.VALIDATION,
          details: {
            errors: [
              { field: "a", path: ["a"], code: ErrorCode.INVALID_TYPE },
              { field: "b", path: ["b"], code: ErrorCode.MISSING_FIELD },
            ],
          },
        });
      }),
    );

    test(
      "a call without a reply runs",
      staged(async (scene) => {
        const noted = new EventLog<unknown>();
        const server = await scene.listen({}, (made) => made.rpc("note", ({ text }) => noted.add(text)));
        const { client } = await scene.logIn(server);
        await scene.driver.run("call_no_wait", { client, method: "note", params: { text: "milk" } });
        expect(await noted.next()).toBe("milk");
      }),
    );

    test(
      "discovery lists the methods",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        const methods = await scene.driver.run<{ name: string }[]>("discover", { client });
        expect(methods.map(({ name }) => name)).toEqual(["add", "echo", "refuse", "fail"]);
        expect(methods[0]).toEqual({
          name: "add",
          description: "Adds two numbers.",
          parameters: { a: "int", b: "int" },
          return_type: "float",
          requires_auth: true,
        });
        expect(await scene.driver.run("call", { client, method: "listall", params: {} })).toEqual({
          methods,
          count: 4,
        });
      }),
    );

    test(
      "calls and requests to the client, which it never answers, fail immediately",
      staged(async (scene) => {
        const server = await scene.listen();
        const { connection } = await scene.logIn(server);
        await expect(connection.call("anything", {})).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
        await expect(connection.request("anything")).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
      }),
    );
  });
}
