/** Prints the `AsyncLocalStorage` stores seen by three handlers, each of which enters a store. */
import { AsyncLocalStorage } from "node:async_hooks";
import { stdout } from "node:process";
import { Client, Server } from "@netconduit/node";

const storage = new AsyncLocalStorage<string>();
const server = new Server({ host: "127.0.0.1", port: 0, password: "secret123", handleSignals: false });
const seen: string[] = [];
server.rpc("enter", () => {
  seen.push(storage.getStore() ?? "none");
  storage.enterWith("entered");
});
await server.start();
const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123" });
await client.connect();
await Promise.all([client.call("enter"), client.call("enter"), client.call("enter")]);
await client.disconnect();
await server.stop();
stdout.write(JSON.stringify(seen));
