/**
 * A chat client for the terminal.
 *
 *     node examples/chat/client.ts Ada [room]
 *
 * Each line of input is sent to the room. Commands: /join ROOM changes the room, /nick NAME the name, /who lists the
 * members, /msg NAME TEXT sends a private message, /quit (or the end of the input) leaves.
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123).
 */

import { Client, ConduitError, ErrorCode } from "@netconduit/node";
import * as v from "valibot";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123" } = process.env;

let [, , nick = `guest${Math.floor(Math.random() * 1000)}`, room = "lobby"] = process.argv;

const client = new Client({ host: HOST, port: Number(PORT), password: PASSWORD, name: "Chat client" });

const Nick = v.object({ nick: v.string() });
const Said = v.object({ nick: v.string(), text: v.string() });
const Renamed = v.object({ from: v.string(), to: v.string() });
const Members = v.object({ members: v.array(v.string()) });
const Reached = v.object({ reached: v.number() });

client.on("said", Said, (said) => console.log(`<${said.nick}> ${said.text}`));
client.on("whispered", Said, (said) => console.log(`*${said.nick}* ${said.text}`));
client.on("joined", Nick, (who) => console.log(`- ${who.nick} is here`));
client.on("left", Nick, (who) => console.log(`- ${who.nick} left`));
client.on("renamed", Renamed, ({ from, to }) => console.log(`- ${from} is now ${to}`));

client.onDisconnect((_client, reason) => console.log(`- disconnected: ${reason.message}`));
// A new connection isn't in a room yet.
client.onReconnect(() => join(nick, room));
client.onError((failure) => {
  console.log(`! ${failure.message}`);
  if (failure instanceof ConduitError && failure.code === ErrorCode.RECONNECT_FAILED) process.exit(1);
});

async function join(newNick: string, newRoom: string): Promise<void> {
  const { members } = await client.call("join", { nick: newNick, room: newRoom }, { result: Members });
  nick = newNick;
  room = newRoom;
  console.log(
    `- you are ${nick} in ${room}, with ${members.filter((name) => name !== nick).join(", ") || "nobody else"}`,
  );
}

async function say(text: string): Promise<void> {
  const { reached } = await client.request("say", { text }, { result: Reached });
  if (reached === 0) console.log("- nobody else is here");
}

async function command(line: string): Promise<void> {
  const [word, argument = "", ...rest] = line.split(" ");
  if (word === "/join") await join(nick, argument);
  else if (word === "/nick") await join(argument, room);
  else if (word === "/who") console.log(`- ${(await client.call("who", {}, { result: Members })).members.join(", ")}`);
  else if (word === "/msg") await client.call("whisper", { to: argument, text: rest.join(" ") });
  else await say(line);
}

async function* inputLines(): AsyncGenerator<string> {
  let rest = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    const lines = `${rest}${chunk}`.split(/\r?\n/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

async function talk(): Promise<void> {
  for await (const line of inputLines()) {
    if (line === "/quit") return;
    if (line.trim() === "") continue;
    try {
      await command(line);
    } catch (failure) {
      if (!(failure instanceof ConduitError)) throw failure;
      // The server rejected the request (the nickname is taken or unknown), or the client is disconnected.
      console.log(`! ${failure.message}`);
    }
  }
}

await client.connect();
try {
  await join(nick, room);
  await talk();
} finally {
  await client.disconnect();
}
// Deno would keep reading the input to its end (https://github.com/denoland/deno/issues/30652).
process.exit();
