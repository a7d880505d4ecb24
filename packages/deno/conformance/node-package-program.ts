import { Client, Server } from "../../node/src/index.ts";

const password = "secret123";
const server = new Server({ host: "127.0.0.1", port: 0, password, handleSignals: false });
server.rpc("ping", () => "pong");
await server.start();
const client = new Client({ host: "127.0.0.1", port: server.address.port, password });
await client.connect();
console.log(await client.call("ping"));
await client.disconnect();
await server.stop();
