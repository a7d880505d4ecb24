import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import { withMethods } from "./methods.ts";
import type { ClientScene } from "./scene.ts";

export function describeRpc(staged: Staged<ClientScene>): void {
  describe("RPC", () => {
    test(
      "a call gets its result in netconduit's wrapper",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        expect(await scene.call(client, "add", { a: 2, b: 3 })).toEqual({ success: true, data: 5 });
      }),
    );

    test(
      "an error of a handler is a result with netconduit's code, message and details",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        expect(await scene.call(client, "refuse")).toEqual({
          success: false,
          error: "Not today",
          code: 3003,
          details: { weekday: "Monday" },
        });
      }),
    );

    test(
      "an unexpected error is INTERNAL without its message to the caller, and onError gets it",
      staged(async (scene) => {
        const errors = new EventLog<unknown>();
        const server = await scene.listen({}, (made) => {
          withMethods(made);
          made.onError((failure, context) => errors.add([failure.message, context.stage, context.name]));
        });
        const { client } = await scene.logIn(server);
        const failure = { success: false, error: "Internal server error", code: ErrorCode.INTERNAL };
        expect(await scene.call(client, "fail")).toEqual(failure);
        expect(errors.all).toEqual([["the disk is full", "rpc", "fail"]]);
      }),
    );

    test(
      "a payload that is refused is a result, too",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        expect(await scene.call(client, "echo", { constructor: 1 })).toMatchObject({
          success: false,
          code: ErrorCode.FORBIDDEN_KEY,
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
      "discovery lists the methods in the wrapper",
      staged(async (scene) => {
        const server = await scene.listen({}, withMethods);
        const { client } = await scene.logIn(server);
        const answer = await scene.driver.run<{ data: { methods: { name: string }[] } }>("discover", { client });
        const { methods } = answer.data;
        expect(methods.map(({ name }) => name)).toEqual(["add", "echo", "refuse", "fail"]);
        expect(methods[0]).toEqual({
          name: "add",
          description: "Adds two numbers.",
          parameters: { a: "int", b: "int" },
          return_type: "float",
          requires_auth: true,
        });
        expect(answer).toEqual({ success: true, data: { methods, count: 4 } });
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
