import { readFileSync } from "node:fs";
import type { Certificates } from "./peer.ts";

const FOLDER = new URL("../../packages/node/test-data/tls/", import.meta.url);

/** The tests' certificate for localhost. */
export function certificates(): Certificates {
  const [cert, key, ca] = ["server.crt", "server.key", "ca.crt"].map((file) =>
    readFileSync(new URL(file, FOLDER), "utf8"),
  );
  return { cert: cert as string, key: key as string, ca: ca as string };
}
