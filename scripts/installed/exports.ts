/**
 * A module whose exports all have inferred types, as in applications. install.test.ts emits its declarations: each
 * type needs a name that the program can import, even if it only sees its direct dependencies.
 */
import {
  Client,
  ConduitError,
  type Contract,
  error,
  fieldErrors,
  type RemotePeer,
  response,
  Server,
} from "@netconduit/node";
import * as v from "valibot";

export const contract = {
  server: {
    methods: {
      add: { params: v.object({ a: v.number(), b: v.number() }), result: v.number() },
      "users.list": { params: v.object({ limit: v.number() }), result: v.array(v.string()) },
    },
    messages: { say: v.object({ text: v.string() }) },
  },
  client: {
    methods: { mood: { result: v.string() } },
    messages: { said: v.object({ text: v.string() }) },
  },
} satisfies Contract;

interface Visitor {
  name: string;
}

export const server = new Server({
  password: "secret123",
  contract,
  connectionData: (): Visitor => ({ name: "" }),
});
export const openServer = new Server({ password: "secret123" });
export const client = new Client({ host: "127.0.0.1", port: 8080, password: "secret123", contract });
export const openClient = new Client({ host: "127.0.0.1", port: 8080, password: "secret123" });

export class ChatServer extends Server<typeof contract> {}

export const add = (a: number, b: number) => client.call("add", { a, b });
export const list = (limit: number) => client.call("users.list", { limit });
export const listByApi = (limit: number) => client.api.users.list({ limit });
export const { api } = client;
export const mood = () => server.connections[0]?.call("mood");
export const visitors = () => server.connections.map(({ data }) => data);
export const moodByApi = () => server.connections[0]?.api.mood();
export const connection = () => server.connections[0];
export const latencyOf = (peer: RemotePeer) => peer.latency;
export const methods = () => client.discover();
export const facts = () => ({ client: client.health, info: client.serverInfo, server: server.stats });
export const settings = { client: client.config, server: server.config };
export const removeHandler = server.rpc("add", ({ a, b }) => a + b);
export const removeHook = client.onStateChange(({ to }) => console.log(to));
export const helpers = { ConduitError, error, fieldErrors, response };
