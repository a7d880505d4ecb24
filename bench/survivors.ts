/**
 * Measures the bytes of a server's memory that survive V8's collections of young objects, per connect, call and
 * stream: `node --expose-gc --max-semi-space-size=8 bench/survivors.ts [peer…]`. The server is in this process, its
 * clients in another.
 */
import process from "node:process";
import { GCProfiler } from "node:v8";
import type { ClientCommands } from "./lib/commands.ts";
import { Host } from "./lib/host.ts";
import type { Peer } from "./lib/peer.ts";
import { loadPeer } from "./peers/index.ts";

const CONNECTS = 5000;
const MAX_PAYLOAD_BYTES = 1024 * 1024;
const WARM_UP_SECONDS = 1;
const SECONDS = 3;

type Spaces = readonly { readonly spaceName: string; readonly spaceUsedSize: number }[];

function used(spaces: Spaces, name: string): number {
  return spaces.find(({ spaceName }) => spaceName === name)?.spaceUsedSize ?? 0;
}

/** Runs the work, which returns the number of operations, and prints the surviving bytes per operation. */
async function measure(title: string, work: () => Promise<number>): Promise<void> {
  // As in a server that has been running for a while: long-lived objects are in the old generation.
  void globalThis.gc?.();
  const profiler = new GCProfiler();
  profiler.start();
  const count = await work();
  const { statistics } = profiler.stop();
  let copied = 0;
  let promoted = 0;
  let full = 0;
  for (const { gcType, beforeGC, afterGC } of statistics) {
    if (gcType !== "Scavenge") {
      full += 1;
      continue;
    }
    const [before, after] = [beforeGC.heapSpaceStatistics, afterGC.heapSpaceStatistics];
    copied += used(after, "new_space");
    promoted += used(after, "old_space") - used(before, "old_space");
  }
  const each = (bytes: number): string => (bytes / count).toFixed(1);
  console.log(`${title}: copied ${each(copied)} B, promoted ${each(promoted)} B, steps of full collections ${full}`);
}

async function measurePeer(peer: Peer): Promise<void> {
  const options = { tls: null, maxConnections: CONNECTS + 100, maxPayloadBytes: MAX_PAYLOAD_BYTES, methods: 1 };
  const server = await peer.startServer(options);
  const client = await Host.start<ClientCommands>({ runtime: "node", side: "client", peer });
  const connect = (count: number): Promise<unknown> => {
    const { target } = server;
    return client.call("connect", { target, tls: false, maxPayloadBytes: MAX_PAYLOAD_BYTES, count, concurrency: 64 });
  };
  await connect(100);
  await client.call("disconnect", null);
  await measure(`${peer.name}, connects`, async () => {
    await connect(CONNECTS);
    return CONNECTS;
  });
  for (const kind of ["call", "openStream"] as const) {
    if (kind === "openStream" && !peer.name.startsWith("netconduit")) continue;
    const load = { kind, inFlight: 64, methods: 1 };
    await client.call("load", { ...load, seconds: WARM_UP_SECONDS });
    await measure(
      `${peer.name}, ${kind}`,
      async () => (await client.call("load", { ...load, seconds: SECONDS })).count,
    );
  }
  await client.close();
  await server.close();
}

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : ["netconduit", "netconduit-async", "ws"]) {
  await measurePeer(await loadPeer(name));
}
