/**
 * The protocol between a test and its peer processes: one JSON object per line on the peer's standard input and
 * output. `run` is the number of a scenario's run, the same in both halves.
 */
import type { RuntimeFacts } from "./own-facts.ts";

/** The two ends of a connection. */
export type Role = "server" | "client";

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type ToPeer =
  /** Starts one half of a scenario. */
  | { readonly kind: "start"; readonly run: number; readonly title: string; readonly role: Role }
  /** A fact from the other half. */
  | { readonly kind: "told"; readonly run: number; readonly fact: string; readonly value: Json }
  /** Both halves have returned, or one failed: closes everything that this half created. */
  | { readonly kind: "end"; readonly run: number };

export type FromPeer =
  | { readonly kind: "ready"; readonly facts: RuntimeFacts }
  /** A fact for the other half. */
  | { readonly kind: "tell"; readonly run: number; readonly fact: string; readonly value: Json }
  /** The half has returned or has failed with `error`. */
  | { readonly kind: "returned"; readonly run: number; readonly error: string | null }
  /** Everything that the half created is closed. `waitingFor`: the facts that it was waiting for when it was ended. */
  | {
      readonly kind: "ended";
      readonly run: number;
      readonly error: string | null;
      readonly waitingFor: readonly string[];
    };

/** Calls `receive` with each line of a text stream, parsed as JSON. */
export function readLines<T>(stream: NodeJS.ReadableStream, receive: (line: T) => void): void {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk) => {
    const lines = (text + String(chunk)).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) receive(JSON.parse(line) as T);
  });
}
