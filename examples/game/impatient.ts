/**
 * A spectator that calls `look` far too often. The error of the server's rate limit contains the time to wait.
 *
 *     node examples/game/impatient.ts
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123).
 */

import { Client, ErrorCode, RpcError } from "@netconduit/node";
import { View } from "./messages.ts";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123" } = process.env;
const LOOKS = 500;

const client = new Client({ host: HOST, port: Number(PORT), password: PASSWORD, name: "Impatient spectator" });
client.rpc("profile", () => ({ name: "Impatient", role: "spectator" }));
await client.connect();

const looks = await Promise.allSettled(Array.from({ length: LOOKS }, () => client.call("look", {}, { result: View })));
let refused = 0;
let retryAfterSeconds = 0;
for (const look of looks) {
  if (look.status === "fulfilled") continue;
  const error: unknown = look.reason;
  if (!(error instanceof RpcError) || error.code !== ErrorCode.RATE_LIMITED) throw error;
  refused += 1;
  retryAfterSeconds = Number(error.details?.["retry_after"]);
}
console.log(`${refused} of ${LOOKS} looks were rate limited; retry after ${retryAfterSeconds} s`);

await new Promise((resolve) => setTimeout(resolve, retryAfterSeconds * 1000));
const { phase, tick } = await client.call("look", {}, { result: View });
console.log(`Retried: ${phase}, tick ${tick}`);
await client.disconnect();
