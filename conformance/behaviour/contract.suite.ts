import { type Contract, ErrorCode, fieldErrors } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const chat = {
  server: {
    methods: {
      history: {
        params: v.object({ room: v.string(), last: v.optional(v.number(), 10) }),
        result: v.array(v.object({ text: v.string() })),
      },
      topic: { params: z.object({ room: z.string() }), result: z.string().min(1) },
      ping: {},
    },
    messages: {
      say: v.object({ room: v.string(), text: v.pipe(v.string(), v.maxLength(20)) }),
      rename: z.object({ nick: z.string() }),
      leave: v.optional(v.string(), "bye"),
    },
  },
  client: {
    methods: {
      mood: { params: v.object({ scale: v.number() }), result: v.picklist(["fine", "bad"]) },
      where: { result: z.object({ room: z.string(), since: z.number().default(0) }) },
    },
    messages: { said: v.object({ from: v.string(), text: v.string() }) },
  },
} satisfies Contract;
type Chat = typeof chat;

/** Starts a server with the contract and a client without it. */
async function listening(stage: Stage) {
  const server = stage.ownServer({ ...stage.serverOptions({}), contract: chat });
  const errors = new EventLog<{ message: string; stage: string; name: string | undefined }>();
  server.onError(({ message }, { stage: at, name }) => errors.add({ message, stage: at, name }));
  await server.start();
  return { server, errors, stranger: await stage.join(server) };
}

/** Starts a client with the contract and a server without it. */
async function joined(stage: Stage) {
  const server = await stage.listen();
  const client = stage.ownClient<Chat>(server, { contract: chat });
  const errors = new EventLog<{ message: string; stage: string; name: string | undefined }>();
  client.onError(({ message }, { stage: at, name }) => errors.add({ message, stage: at, name }));
  await client.connect();
  return { server, client, errors, connection: connectionOf(server, client) };
}

/** Contracts passed as values: each end validates everything that has a schema in the contract. */
export function describeContract(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`a server with a contract on ${subject.name}`, PATIENT, () => {
    test(
      "checks parameters, and its handler gets the schema's output",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        const heard = new EventLog<unknown>();
        server.rpc("history", (params) => {
          heard.add(params);
          return [];
        });
        expect(await stranger.call("history", { room: "garden" })).toEqual([]);
        expect(heard.all).toEqual([{ room: "garden", last: 10 }]);
        const failure = await failureOf(stranger.call("history", { room: 7, last: "ten" }));
        expect(failure).toMatchObject({
          code: ErrorCode.INVALID_TYPE,
          message: expect.stringContaining("Validation error in history"),
        });
        expect(fieldErrors(failure).map(({ field }) => field)).toEqual(["room", "last"]);
        expect(heard.all).toHaveLength(1);
      }),
    );

    test(
      "checks parameters of a method that is registered with a definition, too",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        server.rpc({ name: "topic", description: "What a room is about" }, ({ room }) => `all about ${room}`);
        expect(await stranger.call("topic", { room: "garden" })).toBe("all about garden");
        expect((await failureOf(stranger.call("topic"))).code).toBe(ErrorCode.MISSING_FIELD);
      }),
    );

    test(
      "checks data of messages: wrong data reaches no handler, rejects a request, and is reported otherwise",
      staged(async (stage) => {
        const { server, errors, stranger } = await listening(stage);
        const heard = new EventLog<unknown>();
        server.on("say", (_connection, data) => heard.add(data));
        const failure = await failureOf(stranger.request("say", { text: 1 }));
        expect(failure).toMatchObject({
          code: ErrorCode.VALIDATION,
          message: expect.stringContaining("Validation error in message say"),
        });
        stranger.send("say", "hello");
        expect(await errors.next()).toEqual({
          message: expect.stringContaining("Validation error in message say"),
          stage: "message",
          name: "say",
        });
        stranger.send("say", { room: "garden", text: "hello", extra: 1 });
        expect(await heard.next()).toEqual({ room: "garden", text: "hello" });
        expect(heard.all).toHaveLength(1);
      }),
    );

    test(
      "checks several types with one handler each by its own schema",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        server.on(["rename", "leave"], (_connection, data, { method }) => ({ method, data }));
        expect(await stranger.request("rename", { nick: "ada" })).toEqual({ method: "rename", data: { nick: "ada" } });
        expect(await stranger.request("leave", "later")).toEqual({ method: "leave", data: "later" });
        expect(await stranger.request("leave")).toEqual({ method: "leave", data: "bye" });
        await failureOf(stranger.request("rename", "later"));
        await failureOf(stranger.request("leave", { nick: "ada" }));
      }),
    );

    test(
      "checks and shapes results before they are sent",
      staged(async (stage) => {
        const { server, errors, stranger } = await listening(stage);
        server.rpc("history", () => [{ text: "hello", address: "10.0.0.7" }]);
        server.rpc("topic", () => "");
        expect(await stranger.call("history", { room: "garden" })).toEqual([{ text: "hello" }]);
        const failure = await failureOf(stranger.call("topic", { room: "garden" }));
        expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
        expect(await errors.next()).toEqual({
          message: expect.stringContaining("Validation error in the result of topic"),
          stage: "rpc",
          name: "topic",
        });
      }),
    );

    test(
      "prefers a schema that is passed at registration to the contract's",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        server.rpc("history", v.object({ room: v.literal("garden"), last: v.number() }), () => []);
        server.rpc(
          { name: "topic", params: z.object({ room: z.literal("garden") }), result: z.literal("x") },
          () => "x",
        );
        server.on("rename", v.object({ nick: v.literal("ada") }), () => "renamed");
        await failureOf(stranger.call("history", { room: "house", last: 1 }));
        await failureOf(stranger.call("topic", { room: "house" }));
        await failureOf(stranger.request("rename", { nick: "eve" }));
        expect(await stranger.call("history", { room: "garden", last: 1 })).toEqual([]);
        expect(await stranger.call("topic", { room: "garden" })).toBe("x");
        expect(await stranger.request("rename", { nick: "ada" })).toBe("renamed");
      }),
    );

    test(
      "lists the contract's types in discovery",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        server.rpc("history", () => []);
        server.rpc({ name: "topic", description: "What a room is about" }, () => "x");
        server.rpc("ping", () => "pong");
        expect(await stranger.discover()).toEqual([
          {
            name: "history",
            description: "",
            parameters: { room: "string", last: "number | null" },
            returnType: "unknown[]",
            requiresAuth: true,
          },
          {
            name: "topic",
            description: "What a room is about",
            parameters: { room: "string" },
            returnType: "string",
            requiresAuth: true,
          },
          { name: "ping", description: "", parameters: {}, returnType: "unknown", requiresAuth: true },
        ]);
      }),
    );

    test(
      "checks what its clients return",
      staged(async (stage) => {
        const { server, stranger } = await listening(stage);
        const connection = connectionOf(server, stranger);
        const moods = ["fine", "so-so"];
        stranger.rpc("mood", () => moods.shift());
        stranger.rpc("where", () => ({ room: "garden" }));
        expect(await connection.call("mood", { scale: 5 })).toBe("fine");
        const failure = await failureOf(connection.call("mood", { scale: 5 }));
        expect(failure).toMatchObject({
          code: ErrorCode.INVALID_RESULT,
          message: expect.stringContaining("Validation error in the result of mood"),
        });
        expect(await connection.call("where")).toEqual({ room: "garden", since: 0 });
      }),
    );

    test(
      "refuses a malformed contract in its constructor",
      staged(async (stage) => {
        const contract = { server: { methods: { history: { parms: v.object({}) } } } } as Contract;
        const make = (): unknown => stage.ownServer({ ...stage.serverOptions({}), contract });
        expect(make).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
        expect(make).toThrow("Unknown option contract.server.methods.history.parms of the server; did you mean");
      }),
    );
  });

  describe(`a client with a contract on ${subject.name}`, PATIENT, () => {
    test(
      "checks what the server returns, by the contract or by the schema that the call names",
      staged(async (stage) => {
        const { server, client } = await joined(stage);
        server.rpc("history", () => [{ text: "hello", address: "10.0.0.7" }]);
        server.rpc("topic", () => 5);
        server.rpc("ping", () => 5);
        expect(await client.call("history", { room: "garden" })).toEqual([{ text: "hello" }]);
        const failure = await failureOf(client.call("topic", { room: "garden" }));
        expect(failure).toMatchObject({
          code: ErrorCode.INVALID_RESULT,
          message: expect.stringContaining("Validation error in the result of topic"),
        });
        expect(await client.call("topic", { room: "garden" }, { result: v.number() })).toBe(5);
        expect(await client.call("ping")).toBe(5);
      }),
    );

    test(
      "checks parameters and results of its own methods",
      staged(async (stage) => {
        const { client, errors, connection } = await joined(stage);
        client.rpc("mood", ({ scale }) => (scale > 3 ? "fine" : ("so-so" as "bad")));
        expect(await connection.call("mood", { scale: 5 })).toBe("fine");
        expect(await failureOf(connection.call("mood", { scale: "5" }))).toMatchObject({
          code: ErrorCode.INVALID_TYPE,
          message: expect.stringContaining("Validation error in mood"),
        });
        expect((await failureOf(connection.call("mood", { scale: 1 }))).code).toBe(ErrorCode.INTERNAL);
        expect(await errors.next()).toEqual({
          message: expect.stringContaining("Validation error in the result of mood"),
          stage: "rpc",
          name: "mood",
        });
      }),
    );

    test(
      "checks data of messages and requests",
      staged(async (stage) => {
        const { server, client, errors, connection } = await joined(stage);
        const heard = new EventLog<unknown>();
        client.on("said", (data) => {
          heard.add(data);
          return "heard";
        });
        server.broadcast("said", { from: "eve" });
        expect(await errors.next()).toMatchObject({
          message: expect.stringContaining("Validation error in message said"),
          name: "said",
        });
        expect((await failureOf(connection.request("said", null))).code).toBe(ErrorCode.INVALID_TYPE);
        expect(await connection.request("said", { from: "ada", text: "hello" })).toBe("heard");
        expect(heard.all).toEqual([{ from: "ada", text: "hello" }]);
      }),
    );
  });

  describe(`a contract on ${subject.name}`, PATIENT, () => {
    test(
      "serves both ends at once",
      staged(async (stage) => {
        const { server } = await listening(stage);
        server.rpc("history", ({ last }) => [{ text: `last ${last}` }]);
        server.on("say", ({ id }, { text }) => server.broadcast("said", { from: id, text }));
        const client = stage.ownClient<Chat>(server, { contract: chat });
        const heard = new EventLog<string>();
        client.on("said", ({ text }) => heard.add(text));
        client.rpc("mood", () => "fine");
        await client.connect();
        client.send("say", { room: "garden", text: "hello" });
        expect(await heard.next()).toBe("hello");
        expect(await client.call("history", { room: "garden" })).toEqual([{ text: "last 10" }]);
        expect(await connectionOf(server, client).call("mood", { scale: 5 })).toBe("fine");
      }),
    );

    test(
      "as a type alone checks nothing",
      staged(async (stage) => {
        const server = stage.ownServer<Chat, Record<string, unknown>>(stage.serverOptions({}));
        server.on("say", (_connection, data) => data);
        await server.start();
        const stranger = await stage.join(server);
        expect(await stranger.request("say", 5)).toBe(5);
      }),
    );
  });
}
