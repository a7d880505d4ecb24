import type { ReceiverFault } from "./journal.ts";
import type { SenderFault } from "./traffic.ts";
import type { Mode } from "./workload.ts";

/** Options of a process of a run. */
export interface PeerOptions {
  readonly mode: Mode;
  /** Ids in all. */
  readonly messages: number;
  /** Where the journals are. */
  readonly folder: string;
  /** Counts the processes of this side that were killed before. */
  readonly incarnation: number;
  readonly host: string;
  /** Where a client finds the server. */
  readonly port: number;
  /** Where the server's store is, in runs with one. */
  readonly storePath: string;
  readonly fault: ReceiverFault | SenderFault;
}

/** The report of a process at its end. */
export interface PeerReport {
  readonly surprises: readonly string[];
  /** How often sessions went on, and how many frames were sent again for that. */
  readonly resumes: number;
  readonly replayed: number;
  readonly expired: number;
  /** Errors that `onError` was told of, by code. */
  readonly errors: Readonly<Record<string, number>>;
}

export const LOOPBACK = "127.0.0.1";
export const PASSWORD = "correct horse battery staple";
export const TOKEN = "t0ken-of-the-second-client";
/** Short, so that silence is noticed soon. */
export const HEARTBEATS = { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000, closeTimeoutMs: 1000 };
/** Calls wait for as long as a session is away. */
export const PATIENT_MS = 600_000;
