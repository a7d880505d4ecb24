import { describe, expect, test } from "vitest";
import { typeCheck } from "../docs-tests/lib/type-check.ts";

const BEFORE = `import { Client, type Connection, Server } from "@netconduit/node";
import * as v from "valibot";
const chat = {
  server: {
    methods: {
      history: { params: v.object({ room: v.string(), last: v.number() }), result: v.array(v.string()) },
      ping: {},
    },
    messages: { say: v.object({ text: v.string() }), leave: v.optional(v.string()) },
    files: { reports: { roles: ["staff"] }, photos: {} },
  },
  client: {
    methods: { mood: { result: v.string() } },
    messages: { said: v.object({ text: v.string() }), bye: v.string() },
    files: { inbox: {} },
  },
};
declare const client: Client<typeof chat>;
declare const server: Server<typeof chat>;
declare const connection: Connection<typeof chat>;
`;

const METHODS = '"history" | "ping"';
const MESSAGES = '"say" | "leave"';

/** A mistake and the compiler's complete output for it. */
const MISTAKES: readonly (readonly [mistake: string, ...lines: string[]])[] = [
  ['void client.call("history");', "Expected 2-3 arguments, but got 1."],
  ['void client.call("histroy");', `Argument of type '"histroy"' is not assignable to parameter of type '${METHODS}'.`],
  [
    'void client.call("histroy", { room: "a", last: 1 });',
    `Argument of type '"histroy"' is not assignable to parameter of type '${METHODS}'.`,
  ],
  [
    'void client.call("history", { room: "a" });',
    "Argument of type '{ room: string; }' is not assignable to parameter of type '{ room: string; last: number; }'.",
    "  Property 'last' is missing in type '{ room: string; }' but required in type '{ room: string; last: number; }'.",
  ],
  ['void client.call("history", { room: "a", last: "ten" });', "Type 'string' is not assignable to type 'number'."],
  ['void client.call<string>("ping");', "Type 'string' does not satisfy the constraint 'never'."],
  ['client.callNoWait("history");', "Expected 2-3 arguments, but got 1."],
  ['client.send("say");', "Expected 2-3 arguments, but got 1."],
  ['client.send("sya");', `Argument of type '"sya"' is not assignable to parameter of type '${MESSAGES}'.`],
  [
    'client.send("sya", { text: "a" });',
    `Argument of type '"sya"' is not assignable to parameter of type '${MESSAGES}'.`,
  ],
  [
    'client.send("say", { txt: "a" });',
    "Object literal may only specify known properties, but 'txt' does not exist in type '{ text: string; }'. Did you mean to write 'text'?",
  ],
  ['void client.request("say");', "Expected 2-3 arguments, but got 1."],
  ['void client.request("sya");', `Argument of type '"sya"' is not assignable to parameter of type '${MESSAGES}'.`],
  [
    'void client.request("sya", { text: "a" });',
    `Argument of type '"sya"' is not assignable to parameter of type '${MESSAGES}'.`,
  ],
  ['void client.request("say", { text: 1 });', "Type 'number' is not assignable to type 'string'."],
  [
    'client.files("reprots");',
    `Argument of type '"reprots"' is not assignable to parameter of type '"reports" | "photos"'.`,
  ],
  ['connection.files("photos");', `Argument of type '"photos"' is not assignable to parameter of type '"inbox"'.`],
  [
    'server.files("inbox", { dir: "." });',
    `Argument of type '"inbox"' is not assignable to parameter of type '"reports" | "photos"'.`,
  ],
  [
    'client.files("photos", { dir: "." });',
    `Argument of type '"photos"' is not assignable to parameter of type '"inbox"'.`,
  ],
  ['void connection.call("moood");', `Argument of type '"moood"' is not assignable to parameter of type '"mood"'.`],
  [
    'connection.send("siad", { text: "a" });',
    `Argument of type '"siad"' is not assignable to parameter of type '"said" | "bye"'.`,
  ],
  ['server.broadcast("said");', "Expected 2-3 arguments, but got 1."],
  [
    'server.broadcast("siad", { text: "a" });',
    `Argument of type '"siad"' is not assignable to parameter of type '"said" | "bye"'.`,
  ],
  ['server.on("say");', "Expected 2-4 arguments, but got 1."],
  [
    'server.on("sya", () => {});',
    `Argument of type '"sya"' is not assignable to parameter of type '${MESSAGES} | readonly ("say" | "leave")[]'.`,
  ],
  ['server.rpc("history");', "Expected 2-3 arguments, but got 1."],
  [
    'server.rpc("histroy", () => []);',
    `Argument of type '"histroy"' is not assignable to parameter of type '${METHODS} | MethodDefinition<undefined, undefined, ${METHODS}, undefined, undefined>'.`,
  ],
  [
    'server.rpc({ name: "histroy" }, () => []);',
    `Type '"histroy"' is not assignable to type '${METHODS}'. Did you mean '"history"'?`,
  ],
  ['server.rpc("history", () => [1]);', "Type 'number' is not assignable to type 'string'."],
  [
    'void client.api.histroy({ room: "a", last: 1 });',
    `Property 'histroy' does not exist on type '{ readonly history: ApiMethod<{ room: string; last: number; }, string[], never, unknown>; readonly ping: ApiMethod<Readonly<Record<string, unknown>> | undefined, unknown, never, unknown>; }'. Did you mean 'history'?`,
  ],
  ['void client.api.history({ room: "a", last: "ten" });', "Type 'string' is not assignable to type 'number'."],
  ["void client.api.history();", "Expected 1-2 arguments, but got 0."],
  [
    'new Client({ password: "secret" });',
    "Argument of type '{ password: string; }' is not assignable to parameter of type 'ClientInit<Contract>'.",
    "  Type '{ password: string; }' is not assignable to type 'ClientSettings & TcpTarget & ContractOption<Contract>'.",
    "    Type '{ password: string; }' is missing the following properties from type 'TcpTarget': host, port",
  ],
  [
    'new Client({ host: "localhost", prot: 8080, password: "secret" });',
    "Object literal may only specify known properties, and 'prot' does not exist in type 'ClientInit<Contract>'.",
  ],
];

describe("the compiler on mistakes with a contract", () => {
  test("names the missing argument, or the names that there are, and not the whole contract", {
    timeout: 120_000,
  }, () => {
    const sources = new Map(MISTAKES.map(([mistake]) => [mistake, `${BEFORE}${mistake}\n`]));
    const line = BEFORE.split("\n").length;
    const said = [...typeCheck(sources, "node")].map(([mistake, problems]) => [mistake, ...problems]);
    expect(said).toEqual(MISTAKES.map(([mistake, ...lines]) => [mistake, `${line}: ${lines.join("\n")}`]));
  });
});
