/**
 * The protocol between a test and its peer processes: JSON, one object a line, on the peer's standard input and output.
 * `run` numbers one run of a scenario; both of its halves have the same.
 */
import type { RuntimeFacts } from "./own-facts.ts";

/** The two ends of a connection. */
export type Role = "server" | "client";

/** A value that JSON carries. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type ToPeer =
  /** Start one half of a scenario. */
  | { readonly kind: "start"; readonly run: number; readonly title: string; readonly role: Role }
  /** The other half told this. */
  | { readonly kind: "told"; readonly run: number; readonly fact: string; readonly value: Json }
  /** Both halves have returned, or one of them failed: end everything that this one made. */
  | { readonly kind: "end"; readonly run: number };

export type FromPeer =
  | { readonly kind: "ready"; readonly facts: RuntimeFacts }
  /** For the other half. */
  | { readonly kind: "tell"; readonly run: number; readonly fact: string; readonly value: Json }
  /** The half has returned, or failed with `error`. */
  | { readonly kind: "returned"; readonly run: number; readonly error: string | null }
  /** Everything that the half made is ended. `waitingFor`: the facts it was waiting for when it was told to end. */
  | {
      readonly kind: "ended";
      readonly run: number;
      readonly error: string | null;
      readonly waitingFor: readonly string[];
    };

/** Calls `receive` with each line of a stream of text, as JSON. */
export function readLines<T>(stream: NodeJS.ReadableStream, receive: (line: T) => void): void {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk) => {
    const lines = (text + String(chunk)).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) receive(JSON.parse(line) as T);
  });
}
