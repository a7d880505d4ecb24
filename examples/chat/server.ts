/**
 * A chat server with rooms and nicknames. `connection.data` holds a connection's room, and `where` selects the room's
 * connections for a broadcast, so the server keeps no list of rooms. The handlers are in `rooms.ts`, separate from
 * the server, so that a test can use them without a port.
 *
 *     node examples/chat/server.ts
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port), PASSWORD (secret123).
 */

import { Server } from "@netconduit/node";
import { addRooms, type Member } from "./rooms.ts";

const { HOST = "0.0.0.0", PORT = "8080", PASSWORD = "secret123" } = process.env;

const server = new Server({
  name: "Chat",
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  connectionData: (): Member => ({ nick: "", room: "" }),
});
addRooms(server);

server.onListening((srv) => {
  console.log(`Listening on ${srv.address}`);
});

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
