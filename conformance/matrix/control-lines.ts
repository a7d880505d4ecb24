/**
 * What a test and its peers say to each other: JSON, one object a line, on the peer's standard input and output. `run`
 * numbers one performance of a scenario; both of its halves have the same.
 */
import type { RuntimeFacts } from "./runtime-name.ts";

/** The two ends of a connection. */
export type Role = "server" | "client";

/** What JSON carries. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type ToPeer =
  /** Play one half of a scenario. */
  | { readonly kind: "play"; readonly run: number; readonly title: string; readonly role: Role }
  /** The other half told this. */
  | { readonly kind: "told"; readonly run: number; readonly fact: string; readonly value: Json }
  /** Both halves have returned, or one of them failed: end what this one made. */
  | { readonly kind: "end"; readonly run: number };

export type FromPeer =
  | { readonly kind: "ready"; readonly facts: RuntimeFacts }
  /** For the other half. */
  | { readonly kind: "tell"; readonly run: number; readonly fact: string; readonly value: Json }
  /** The half has returned; with an error if it failed. */
  | { readonly kind: "played"; readonly run: number; readonly error: string | null }
  /** What the half made is ended. `waitingFor`: the facts it was waiting for at that moment. */
  | {
      readonly kind: "ended";
      readonly run: number;
      readonly error: string | null;
      readonly waitingFor: readonly string[];
    };

/** Calls `take` with each line of a stream of text, as JSON. */
export function readLines<T>(stream: NodeJS.ReadableStream, take: (line: T) => void): void {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk) => {
    const lines = (text + String(chunk)).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) take(JSON.parse(line) as T);
  });
}
