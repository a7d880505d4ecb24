/**
 * A small real-time game: players race for coins on a grid, the first to GOAL coins wins the match.
 *
 * What it shows: typed data per connection; the server calling methods of its clients; a tick that is broadcast, and
 * that a client which reads too slowly misses without slowing the others down; a rate limit.
 *
 *     node examples/game/server.ts
 *
 * From the environment: HOST (0.0.0.0), PORT (8080; 0 takes any free one), PASSWORD (secret123), PLAYERS (2, in a
 * match), GOAL (5 coins), TICK_MS (50).
 */

import { Server } from "@netconduit/node";
import * as v from "valibot";
import { type Position, Profile, Step } from "./messages.ts";

const { HOST = "0.0.0.0", PORT = "8080", PASSWORD = "secret123" } = process.env;
const { PLAYERS = "2", GOAL = "5", TICK_MS = "50" } = process.env;
const WIDTH = 16;
const HEIGHT = 9;

/** What the server knows of a client. */
interface Visitor {
  name: string;
  /** Null for a spectator. */
  player: (Position & { coins: number }) | null;
}

const server = new Server({
  name: "Coin race",
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  connectionData: (): Visitor => ({ name: "", player: null }),
  rateLimit: { messagesPerSecond: 100 },
  // A tick is worth nothing once the next one is there: some 40 may wait for a slow client, then it misses some.
  sendQueueSize: 40,
  slowConsumer: "drop",
});

type Guest = (typeof server.connections)[number];

let phase: "waiting" | "playing" | "asking" = "waiting";
let tick = 0;
let coin = anywhere();

function anywhere(): Position {
  return { x: Math.floor(Math.random() * WIDTH), y: Math.floor(Math.random() * HEIGHT) };
}

function playersHere(): Guest[] {
  return server.connections.filter(({ data }) => data.player !== null);
}

server.onClientConnect(async (connection) => {
  try {
    // What the client sends waits until this hook is done; its answers do not.
    const { name, role } = await connection.call("profile", {}, { result: Profile, timeoutMs: 3000 });
    connection.data = { name, player: role === "player" ? { ...anywhere(), coins: 0 } : null };
    console.log(`${name} joined as ${role}`);
  } catch (error) {
    console.log(`A client did not say who it is: ${error}`);
    void connection.close("Who are you?");
    return;
  }
  startIfReady();
});

server.onClientDisconnect(({ data: { name } }, reason) => {
  console.log(`${name} left: ${reason.message}`);
  if (phase === "playing" && playersHere().length === 0) phase = "waiting";
});

server.on("move", Step, ({ data: { player } }, { dx, dy }) => {
  if (player === null) return;
  player.x = Math.min(WIDTH - 1, Math.max(0, player.x + dx));
  player.y = Math.min(HEIGHT - 1, Math.max(0, player.y + dy));
});

server.rpc("look", () => ({ phase, tick }));

server.onSlowConsumer(({ data: { name } }, { queuedMessages }) => {
  console.log(`${name} missed a tick: ${queuedMessages} are waiting for it`);
});

server.onError((error, { stage, client }) => {
  if (stage !== "rate-limit") console.log(`Error (${stage}): ${error.message}`);
  else if (client?.stats.rateLimited === 1) console.log(`${client.info.name} is over the rate limit`);
});

function startIfReady(): void {
  const players = playersHere();
  if (phase !== "waiting" || players.length < Number(PLAYERS)) return;
  phase = "playing";
  tick = 0;
  coin = anywhere();
  for (const { data } of players) data.player = { ...anywhere(), coins: 0 };
  console.log(`The match begins: ${players.map(({ data }) => data.name).join(", ")}`);
}

function nextTick(): void {
  if (phase !== "playing") return;
  tick += 1;
  const players: (Position & { name: string; coins: number })[] = [];
  for (const connection of playersHere()) {
    const { name, player } = connection.data;
    if (player === null) continue;
    if (player.x === coin.x && player.y === coin.y) {
      player.coins += 1;
      coin = anywhere();
      if (player.coins >= Number(GOAL)) {
        void endMatch(name);
        return;
      }
    }
    players.push({ name, ...player });
  }
  server.broadcast("tick", { tick, coin, players });
}

async function endMatch(winner: string): Promise<void> {
  phase = "asking";
  console.log(`${winner} wins after ${tick} ticks`);
  server.broadcast("match_over", { winner, ticks: tick });
  // All are asked at once; one that gives no answer in time has had enough.
  await Promise.all(
    playersHere().map(async (player) => {
      const again = await player.call("play_again", {}, { result: v.boolean(), timeoutMs: 5000 }).catch(() => false);
      if (!again) await player.close("Thanks for playing");
    }),
  );
  phase = "waiting";
  startIfReady();
}

const ticking = setInterval(nextTick, Number(TICK_MS));
server.onShutdown(() => clearInterval(ticking));

server.onListening((srv) => {
  console.log(`Listening on ${srv.address}`);
});

// Ctrl+C and SIGTERM end every connection in order.
await server.run();
