/**
 * `pnpm soak:streams` (`--help` lists its options): a server and a client over TCP saturate each other with streams
 * in both directions while making small calls. Prints progress. The exit code is 1 if a direction or the calls make
 * no progress for ten seconds, or if an item is lost or out of order. With Bun: `bun conformance/soak/streams.ts
 * --minutes 5`; Deno likewise.
 */

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { amount, commandLine, count } from "../../scripts/lib/command-line.ts";

const SIZES = [1, 60, 3000, 70_000, 200_000] as const;
const ITEMS = 400;
const STILL_SECONDS = 10;

const { values } = commandLine({
  name: "pnpm soak:streams",
  about: "A server and a client that saturate each other with streams in both directions.",
  options: { minutes: amount("how long it runs", 5), streams: count("streams in each direction", 50) },
});
const endsAt = performance.now() + values.minutes * 60_000;
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
const { Server, Client } = (await import(
  `../../packages/${runtime}/src/index.ts`
)) as typeof import("@netconduit/node");

const moved = { "server to client": 0, "client to server": 0, calls: 0 };
type Direction = Exclude<keyof typeof moved, "calls">;

function* items(): Generator<Uint8Array> {
  for (let n = 0; n < ITEMS; n += 1) {
    const item = new Uint8Array(SIZES[n % SIZES.length] as number);
    item[0] = n & 0xff;
    yield item;
  }
}

/** Consumes all items; one of eight consumers is slow. */
async function take(stream: AsyncIterable<unknown>, direction: Direction): Promise<number> {
  const isSlow = Math.random() < 1 / 8;
  let n = 0;
  for await (const item of stream) {
    const bytes = item as Uint8Array;
    if (bytes.length !== SIZES[n % SIZES.length] || bytes[0] !== (n & 0xff)) throw new Error(`Item ${n} is wrong`);
    n += 1;
    moved[direction] += bytes.length;
    if (isSlow) await sleep(5);
  }
  if (n !== ITEMS) throw new Error(`${n} of ${ITEMS} items came`);
  return n;
}

const server = new Server({ password: "soaked well", host: "127.0.0.1", port: 0 });
server.stream("items", items);
server.rpc({ name: "take", input: true }, (_params, { input }) => take(input, "client to server"));
server.rpc("add", ({ a, b }) => (a as number) + (b as number));
await server.start();
const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "soaked well" });
client.stream("items", items);
await client.connect();
const [connection] = [...server.connections];
if (connection === undefined) throw new Error("The client isn't connected");

const again = async (work: () => Promise<unknown>): Promise<void> => {
  while (performance.now() < endsAt) await work();
};
const work: Promise<void>[] = [];
for (let n = 0; n < values.streams; n += 1) {
  work.push(again(() => take(client.stream("items"), "server to client")));
  work.push(again(() => client.call("take", {}, { input: items() })));
  work.push(again(() => take(connection.stream("items"), "client to server")));
}
work.push(
  again(async () => {
    if ((await client.call("add", { a: 1, b: 2 })) !== 3) throw new Error("1 + 2 isn't 3");
    moved.calls += 1;
  }),
);

const state = { isDone: false };
const all = Promise.all(work).then(() => {
  state.isDone = true;
});

async function watch(): Promise<void> {
  let before = { ...moved };
  while (!state.isDone) {
    await Promise.race([all, sleep(STILL_SECONDS * 1000)]);
    const still = Object.keys(moved).filter(
      (key) => moved[key as keyof typeof moved] === before[key as keyof typeof moved],
    );
    if (!state.isDone && still.length > 0) throw new Error(`Nothing moved for ${STILL_SECONDS} s: ${still.join(", ")}`);
    const mib = (direction: Direction): string => `${Math.round(moved[direction] / 2 ** 20)} MiB ${direction}`;
    console.log(`${mib("server to client")}, ${mib("client to server")}, ${moved.calls} calls`);
    before = { ...moved };
  }
}

try {
  await watch();
  await client.disconnect();
  await server.stop();
} catch (error) {
  console.error(error);
  process.exit(1);
}
