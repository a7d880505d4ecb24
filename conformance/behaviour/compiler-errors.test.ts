/** How the compiler words mistakes that are easily made: it names what is wrong, and not something else. */
import { expect, test } from "vitest";
import { typeCheck } from "../../docs-tests/lib/type-check.ts";

const PROGRAM = `
import { Client, type Contract, Server } from "@netconduit/node";
import * as v from "valibot";
const definition = {
  server: {
    methods: { history: { params: v.object({ room: v.string() }), result: v.array(v.string()) }, topic: {} },
    messages: { say: v.object({ text: v.string() }), leave: v.object({}) },
  },
  client: { messages: { said: v.string(), left: v.string() } },
} satisfies Contract;
type Definition = typeof definition;
interface Chat extends Definition {}
const contract: Chat = definition;
const server = new Server({ password: "secret", contract });
const client = new Client({ host: "localhost", port: 8080, password: "secret", contract });
`;

const METHODS = '"history" | "topic"';
const notAssignable = (given: string, expected: string): string =>
  `Argument of type '${given}' is not assignable to parameter of type '${expected}'.`;
const missing = (given: string, names: string): string =>
  `${given} is missing the following properties from type 'TcpTarget': ${names}`;

const cases: readonly [line: string, message: string][] = [
  ['void client.call("histroy");', notAssignable('"histroy"', METHODS)],
  ['void client.call("histroy", { room: "garden" });', notAssignable('"histroy"', METHODS)],
  ['void client.call("history");', "Expected 2-3 arguments, but got 1."],
  ['client.callNoWait("histroy");', notAssignable('"histroy"', METHODS)],
  ['client.send("sya");', notAssignable('"sya"', '"say" | "leave"')],
  ['void client.request("sya");', notAssignable('"sya"', '"say" | "leave"')],
  ['client.on("siad", () => {});', `Argument of type '"siad"' is not assignable`],
  ['server.rpc("histroy", ({ room }) => [room]);', `Argument of type '"histroy"' is not assignable`],
  ['server.rpc({ name: "histroy" }, () => []);', `Type '"histroy"' is not assignable to type '${METHODS}'.`],
  ['server.on("sya", (_, { text }) => text);', `Argument of type '"sya"' is not assignable`],
  ['server.broadcast("siad");', notAssignable('"siad"', '"said" | "left"')],
  ["server.implement({ topic: () => null });", "Property 'history' is missing"],
  ['new Client({ password: "secret" });', missing("Type '{ password: string; }'", "host, port")],
  ['new Client({ password: "secret", host: "localhost" });', "Property 'port' is missing"],
  ['new Client({ host: "localhost", prot: 8080, password: "secret" });', "'prot' does not exist in type"],
];

const errors = typeCheck(new Map([["program", PROGRAM + cases.map(([line]) => line).join("\n")]]), "node").get(
  "program",
);

test.each(cases.map(([line, message], index) => ({ line, message, index })))("$line", ({ message, index }) => {
  const lineNumber = PROGRAM.split("\n").length + index;
  const own = errors?.filter((error) => error.startsWith(`${lineNumber}: `));
  expect(own).toEqual([expect.stringContaining(message)]);
});
