/**
 * A server with a folder for uploads and downloads.
 *
 *     node examples/files/server.ts /srv/box
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port), PASSWORD (secret123), QUOTA_BYTES (10 GiB).
 */

import { Server } from "@netconduit/node";

const { HOST = "0.0.0.0", PORT = "8080", PASSWORD = "secret123", QUOTA_BYTES = String(10 * 1024 ** 3) } = process.env;
const [dir = "."] = process.argv.slice(2);

const server = new Server({ name: "Files", host: HOST, port: Number(PORT), password: PASSWORD });

server.files("box", {
  dir,
  upload: true,
  download: true,
  quotaBytes: Number(QUOTA_BYTES),
  overwrite: "rename",
});
server.onFileReceived(({ info }, { name, bytes }) => console.log(`${info.name} sent ${name}, ${bytes} bytes`));
server.onFileSent(({ info }, { name, bytes }) => console.log(`${info.name} fetched ${name}, ${bytes} bytes`));
server.onListening(() => console.log(`Listening on ${server.address.host}:${server.address.port}`));

await server.run();
