/** A server and a client over TCP, a Unix socket and TLS. Prints the replies. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Client, Server } from "@netconduit/node";
import { testFile } from "../../packages/node/test-data/tls/files.ts";

const password = "secret123";
const path = join(tmpdir(), `netconduit-${process.pid}.sock`);
const tls = { cert: testFile("server.crt"), key: testFile("server.key") };
const replies: string[] = [];

for (const options of [{ host: "127.0.0.1", port: 0 }, { path }, { host: "127.0.0.1", port: 0, tls }]) {
  const server = new Server({ ...options, password, handleSignals: false });
  server.rpc("ping", () => "pong");
  await server.start();
  const { port } = server.address;
  const client = new Client(
    options.path !== undefined
      ? { path, password }
      : {
          host: "localhost",
          port,
          password,
          ...(options.tls === undefined ? {} : { tls: { ca: testFile("ca.crt") } }),
        },
  );
  await client.connect();
  replies.push(await client.call<string>("ping"));
  await client.disconnect();
  await server.stop();
}
process.stdout.write(JSON.stringify(replies));
