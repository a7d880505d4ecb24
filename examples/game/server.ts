/**
 * A small real-time game: players race for coins on a grid; the first to collect GOAL coins wins the match.
 *
 * It shows typed data per connection, a server that calls its clients, broadcasts that skip slow clients, and a rate
 * limit.
 *
 *     node examples/game/server.ts
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port), PASSWORD (secret123), PLAYERS (2 per match), GOAL (5
 * coins), TICK_MS (50).
 */

import { Server } from "@netconduit/node";
import * as v from "valibot";
import { type Position, Profile, Step } from "./messages.ts";

const { HOST = "0.0.0.0", PORT = "8080", PASSWORD = "secret123" } = process.env;
const { PLAYERS = "2", GOAL = "5", TICK_MS = "50" } = process.env;
const WIDTH = 16;
const HEIGHT = 9;

/** Per-connection data. */
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
  // Old ticks are worthless: queue at most 40 messages for a slow client, then skip it.
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
    // The client's messages wait until this hook has finished; its replies to calls don't.
    const { name, role } = await connection.call("profile", {}, { result: Profile, timeoutMs: 3000 });
    connection.data = { name, player: role === "player" ? { ...anywhere(), coins: 0 } : null };
    console.log(`${name} joined as ${role}`);
  } catch (error) {
    console.log(`A client has no profile: ${error}`);
    void connection.close("No profile");
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

server.onSlowConsumer(({ data: { name } }, { count, queuedMessages }) => {
  console.log(`${name} missed ${count} ticks: ${queuedMessages} messages are queued for it`);
});

server.onError((error, { stage, client }) => {
  if (stage !== "rate-limit") console.log(`Error (${stage}): ${error.message}`);
  else if (client?.stats.rateLimited === 1) console.log(`${client.info.name} exceeds the rate limit`);
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
  // Ask all players in parallel, and disconnect those that don't answer in time.
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

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
