/**
 * A bot that plays the coin race by heading straight for every coin.
 *
 *     node examples/game/bot.ts Ada [matches]
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123).
 */

import { Client } from "@netconduit/node";
import { MatchOver, Tick } from "./messages.ts";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123" } = process.env;
const [, , name = "Bot", matches = "1"] = process.argv;
let matchesLeft = Number(matches);

const client = new Client({ host: HOST, port: Number(PORT), password: PASSWORD, name: "Coin race bot" });

// Methods that the server calls.
client.rpc("profile", () => ({ name, role: "player" }));
client.rpc("play_again", () => matchesLeft > 0);

client.on("tick", Tick, ({ coin, players }) => {
  const me = players.find((player) => player.name === name);
  if (me === undefined) return;
  const step = { dx: Math.sign(coin.x - me.x), dy: Math.sign(coin.y - me.y) };
  if (step.dx !== 0 || step.dy !== 0) client.send("move", step);
});

client.on("match_over", MatchOver, ({ winner, ticks }) => {
  matchesLeft -= 1;
  console.log(winner === name ? `I won in ${ticks} ticks!` : `${winner} won in ${ticks} ticks`);
});

client.onDisconnect((_client, reason) => console.log(`Disconnected: ${reason.message}`));

await client.connect();
console.log(`${name} plays on ${client.serverInfo?.name}`);
