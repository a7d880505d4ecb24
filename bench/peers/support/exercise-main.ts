/** `exercise-main.ts <peer>`: exercises a peer in this runtime, over TCP and, if supported, over TLS. */
import process from "node:process";
import { certificates } from "../../lib/certificates.ts";
import { loadPeer } from "../index.ts";
import { exercise } from "./exercise.ts";

const peer = await loadPeer(process.argv[2] ?? "");
await exercise(peer, null);
if (peer.lacks.tls === undefined) await exercise(peer, certificates());
process.exit(0);
