/**
 * install.test.ts compiles and runs this program against installed packages. It uses both directions of a contract, a
 * broadcast, an error code and type assertions. Only the import line differs between runtimes.
 */
import { Client, type ClientOptions, ConduitError, type Contract, errorCodeName, Server } from "@netconduit/node";
import * as v from "valibot";

const contract = {
  server: {
    methods: {
      add: { params: v.object({ a: v.number(), b: v.number() }), result: v.number() },
      "numbers.multiply": { params: v.object({ a: v.number(), b: v.number() }), result: v.number() },
    },
    messages: { say: v.object({ text: v.string() }) },
  },
  client: {
    methods: { mood: { result: v.string() } },
    messages: { said: v.object({ text: v.string() }) },
  },
} satisfies Contract;

const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0, contract });
server.rpc("add", ({ a, b }) => a + b);
server.rpc("numbers.multiply", ({ a, b }) => a * b);
server.on("say", (_connection, { text }) => {
  server.broadcast("said", { text });
});
await server.start();

const options: ClientOptions = { host: "127.0.0.1", port: server.address.port, password: "secret123" };
const client = new Client({ ...options, contract });
client.rpc("mood", () => "fine");
const received = new Promise<string>((resolve) => {
  client.on("said", ({ text }) => resolve(text));
});
await client.connect();

const sum: number = await client.call("add", { a: 1, b: 2 });
console.log("add:", sum);
const product: number = await client.api.numbers.multiply({ a: 6, b: 7 });
console.log("multiply:", product);

client.send("say", { text: "hello" });
console.log("heard:", await received);

const mood: string | undefined = await server.connections[0]?.call("mood");
console.log("mood:", mood);

try {
  // @ts-expect-error: b is a number
  await client.call("add", { a: 1, b: "two" });
} catch (error) {
  if (!(error instanceof ConduitError)) throw error;
  console.log("refused:", errorCodeName(error.code));
}

// @ts-expect-error: there is no such method
const unknownMethod = () => client.call("subtract", { a: 1, b: 2 });
console.log(typeof unknownMethod);

await client.disconnect();
await server.stop();
console.log("done");
