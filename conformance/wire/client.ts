/** `node … client.ts PORT`: the client program described in README.md, using this library. */
import process from "node:process";
import { Client } from "@netconduit/node";
import { byCertificate, reconnecting, runClient } from "./client-program.ts";

const { NETCONDUIT_TLS: folder, NETCONDUIT_TOKEN: token, NETCONDUIT_PASSWORD: password = "" } = process.env;
const login = token === undefined ? { password } : { credentials: () => ({ token }) };
const client = new Client({
  host: process.env["NETCONDUIT_HOST"] ?? "127.0.0.1",
  port: Number(process.argv[2]),
  ...(folder === undefined ? login : byCertificate(folder)),
  ...reconnecting(process.env["NETCONDUIT_RESUME"] === "1"),
});
await runClient(client);
