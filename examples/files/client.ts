/**
 * Uploads, downloads and lists files, with a progress bar. Transfers resume automatically after a lost connection,
 * and continue where an earlier run of this program stopped.
 *
 *     node examples/files/client.ts put movie.mkv
 *     node examples/files/client.ts get movie.mkv downloads
 *     node examples/files/client.ts list
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123).
 */

import { Client, ConduitError } from "@netconduit/node";
import { show } from "./bar.ts";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123" } = process.env;
const [command, name = "", target = "."] = process.argv.slice(2);

const client = new Client({ name: "files-client", host: HOST, port: Number(PORT), password: PASSWORD });
const box = client.files("box");
const options = { resume: true, onProgress: show };

try {
  await client.connect();
  if (command === "put" || command === "get") {
    const done = await (command === "put" ? box.upload(name, options) : box.download(name, target, options));
    console.log(`\n${done.name}: ${done.bytes} bytes, ${done.resumedFrom} of them earlier, SHA-256 ${done.sha256}`);
  } else {
    for (const { name, bytes } of await box.list()) console.log(`${name} (${bytes} bytes)`);
  }
} catch (error) {
  if (!(error instanceof ConduitError)) throw error;
  console.error(`\n${error.codeName}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await client.disconnect();
}
