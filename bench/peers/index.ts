import type { Peer } from "../lib/peer.ts";

/** All peers in the order of the tables: baselines, ours, the others. */
export const PEER_NAMES = [
  "raw",
  "bare",
  "netconduit",
  "ws",
  "socket.io",
  "rpc-websockets",
  "capnweb",
  "grpc-js",
  "nats",
  "netconduit-python",
  "scp",
  "bun-websocket",
  "deno-websocket",
] as const;

/** Loads a peer by its name. */
export async function loadPeer(name: string): Promise<Peer> {
  const module = new URL(`${name}.ts`, import.meta.url).href;
  return ((await import(module)) as { peer: Peer }).peer;
}
