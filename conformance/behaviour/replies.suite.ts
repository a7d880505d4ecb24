import { ErrorCode, error, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, message, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PASSWORD, PATIENT, stagedOn } from "./stage.ts";

/** Replies to messages with and without correlation, and their schemas. */
export function describeReplies(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`replies on ${subject.name}`, PATIENT, () => {
    test(
      "a request resolves with the return value of its handler, or null without one",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("identify", (client) => ({ id: client.id, authenticated: client.isAuthenticated }));
        server.on("silent", () => {});
        const client = await stage.join(server);
        const { id } = connectionOf(server, client);
        expect(await client.request("identify")).toEqual({ id, authenticated: true });
        expect(await client.request("silent")).toBeNull();
      }),
    );

    test(
      "requests of one type at once each get their own reply",
      staged(async (stage) => {
        const server = await stage.listen();
        const first = gate();
        server.on("echo", async (_client, data) => {
          if (data === 0) await first.promise;
          return data;
        });
        const client = await stage.join(server);
        const slow = client.request("echo", 0);
        expect(await Promise.all([1, 2, 3].map((n) => client.request("echo", n)))).toEqual([1, 2, 3]);
        first.open();
        expect(await slow).toBe(0);
      }),
    );

    test(
      "a plain send is not answered, whatever its handler returns, on either end",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const connection = connectionOf(server, client);
        const data: unknown[] = [];
        server.on("note", (_client, value) => data.push(value));
        client.on("note", (value) => data.push(value));
        const unasked: string[] = [];
        server.onUnknown((_client, type) => void unasked.push(type));
        client.onUnknown((_client, type) => void unasked.push(type));
        client.send("note", 1);
        // A reply to it would have arrived before this one.
        expect(await client.request("note", 2)).toBe(2);
        connection.send("note", 3);
        expect(await connection.request("note", 4)).toBe(4);
        expect([data, unasked]).toEqual([[1, 2, 3, 4], []]);
      }),
    );

    test(
      "a plain send whose handler returns nothing gets no reply",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("silent", () => {});
        server.on("null", async () => null);
        server.rpc("last", () => "last");
        const peer = await stage.rawLoggedIn(server);
        peer.write(message("silent", 1), message("null", 1), call(3n, "last"));
        expect(await peer.next()).toMatchObject({ type: Type.RPC_RESPONSE, id: 3n });
      }),
    );

    test(
      "a peer without extensions gets its reply as a message, whatever correlation id it sent",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("ping", () => "pong");
        const peer = await stage.raw(server);
        await peer.login({ password: PASSWORD, extensions: {} });
        peer.write(message("ping", 1, 77n));
        expect(await peer.next()).toMatchObject({
          type: Type.MESSAGE,
          id: 0n,
          payload: { type: "ping_response", data: "pong" },
        });
      }),
    );

    test(
      "an error, returned or thrown, rejects the request with its code, message and details",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("returned", () => error("No", { code: 403, details: { why: "because" } }));
        server.on("thrown", async () => {
          throw error("No", { code: 403, details: { why: "because" } });
        });
        const client = await stage.join(server);
        for (const type of ["returned", "thrown"]) {
          const failure = await failureOf(client.request(type));
          expect(failure).toBeInstanceOf(RpcError);
          expect(failure).toMatchObject({ code: 403, message: "No", details: { why: "because" } });
        }
      }),
    );

    test(
      "a handler's error isn't a reply to a plain send; onError is called with it",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<string>();
        server.onError(({ message: text }) => errors.add(text));
        server.on("chat", () => error("No", { code: 403 }));
        server.on("last", () => "last");
        const client = await stage.join(server);
        const unasked: string[] = [];
        client.onUnknown((_client, type) => void unasked.push(type));
        client.send("chat");
        expect([await client.request("last"), await errors.next(), unasked]).toEqual(["last", "No", []]);
      }),
    );

    test(
      "an error of a handler answers a plain send of a plain peer in netconduit's form",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("chat", () => error("No", { code: 403, details: { why: "because" } }));
        const peer = await stage.raw(server);
        await peer.login({ password: PASSWORD, extensions: {} });
        peer.write(message("chat"));
        const data = { success: false, error: "No", code: 403, details: { why: "because" } };
        expect(await peer.next()).toMatchObject({ type: Type.MESSAGE, payload: { type: "chat_response", data } });
      }),
    );

    test(
      "an exception's text stays on the server: the requester gets INTERNAL, onError the exception",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<{ text: string; stage: string; name: string | undefined }>();
        server.onError(({ message }, { stage, name }) => errors.add({ text: message, stage, name }));
        server.on("chat", () => {
          throw new Error("the secret");
        });
        const client = await stage.join(server);
        const failure = await failureOf(client.request("chat"));
        expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
        expect(await errors.next()).toEqual({ text: "the secret", stage: "message", name: "chat" });
      }),
    );

    test(
      "an unserializable reply gives the requester an error and the connection lives",
      staged(async (stage) => {
        const server = await stage.listen();
        const cycle: { self?: unknown } = {};
        cycle.self = cycle;
        server.on("bad", () => cycle);
        server.on("good", () => "good");
        const client = await stage.join(server);
        expect((await failureOf(client.request("bad"))).code).toBe(ErrorCode.INTERNAL);
        client.send("bad");
        expect(await client.request("good")).toBe("good");
      }),
    );

    test(
      "a server's request is answered by its client's handlers",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        client.on("where", (data) => ({ asked: data, x: 1 }));
        client.on("fail", () => error.notFound("Position"));
        const connection = connectionOf(server, client);
        expect(await connection.request("where", "now")).toEqual({ asked: "now", x: 1 });
        client.on("silent", () => {});
        expect(await connection.request("silent")).toBeNull();
        expect((await failureOf(connection.request("fail"))).code).toBe(ErrorCode.NOT_FOUND);
        expect((await failureOf(connection.request("nope"))).code).toBe(ErrorCode.NO_HANDLER);
      }),
    );

    test(
      "connection.send reaches that client alone",
      staged(async (stage) => {
        const server = await stage.listen();
        const [ada, bob] = [await stage.join(server), await stage.join(server)];
        const heard = new EventLog<string>();
        ada.on("private", (data) => heard.add(`ada: ${String(data)}`));
        bob.on("private", (data) => heard.add(`bob: ${String(data)}`));
        expect(connectionOf(server, bob).send("private", "psst")).toBe(true);
        server.broadcast("private", "all");
        expect([...(await heard.count(3))].sort()).toEqual(["ada: all", "bob: all", "bob: psst"]);
      }),
    );

    describe("schemas", () => {
      for (const [library, schema] of [
        ["valibot", v.object({ x: v.number(), y: v.optional(v.number(), 0) })],
        ["zod", z.object({ x: z.number(), y: z.number().default(0) })],
      ] as const) {
        test(
          `${library}: the handler gets the schema's output, and wrong data never`,
          staged(async (stage) => {
            const server = await stage.listen();
            const heard = new EventLog<unknown>();
            server.on(["move", "jump"], schema, (_client, data) => {
              heard.add(data);
              return data.x + data.y;
            });
            const client = await stage.join(server);
            expect(await client.request("move", { x: 1 })).toBe(1);
            const failure = await failureOf(client.request("jump", { x: "1" }));
            expect(failure).toMatchObject({
              code: ErrorCode.INVALID_TYPE,
              message: expect.stringMatching(/^Validation error in message jump: x: .*expected number/i),
              details: { errors: [{ field: "x", code: ErrorCode.INVALID_TYPE }] },
            });
            expect(heard.all).toEqual([{ x: 1, y: 0 }]);
          }),
        );
      }

      test(
        "a requester may check the reply with a schema of its own",
        staged(async (stage) => {
          const server = await stage.listen();
          server.on("now", () => 5);
          const client = await stage.join(server);
          expect(await client.request("now", null, { result: z.number().transform((n) => n * 2) })).toBe(10);
          const failure = await failureOf(client.request("now", null, { result: z.string() }));
          expect(failure.code).toBe(ErrorCode.INVALID_RESULT);
        }),
      );

      test(
        "wrong data of a plain send is reported to onError",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<{ code: unknown; stage: string }>();
          server.onError((error, { stage }) => errors.add({ code: (error as RpcError).code, stage }));
          server.on("move", v.object({ x: v.number() }), () => "moved");
          const client = await stage.join(server);
          client.send("move", {});
          expect(await errors.next()).toEqual({ code: ErrorCode.MISSING_FIELD, stage: "message" });
        }),
      );
    });
  });
}
