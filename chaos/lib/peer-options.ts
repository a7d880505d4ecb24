import type { ReceiverFault } from "./journal.ts";
import type { SenderFault } from "./traffic.ts";
import type { Mode } from "./workload.ts";

/** Options of a process in a run. */
export interface PeerOptions {
  readonly mode: Mode;
  /** Total number of ids. */
  readonly messages: number;
  /** Folder of the journals. */
  readonly folder: string;
  /** Number of earlier processes of this side that were killed. */
  readonly incarnation: number;
  readonly host: string;
  /** Port that a client connects to. */
  readonly port: number;
  /** Path of the server's store, in runs with a store. */
  readonly storePath: string;
  readonly fault: ReceiverFault | SenderFault;
}

/** A process's final report. */
export interface PeerReport {
  readonly surprises: readonly string[];
  /** Number of resumed sessions, and of frames resent for them. */
  readonly resumes: number;
  readonly replayed: number;
  readonly expired: number;
  /** Errors passed to `onError`, by code. */
  readonly errors: Readonly<Record<string, number>>;
}

export const LOOPBACK = "127.0.0.1";
export const PASSWORD = "correct horse battery staple";
export const TOKEN = "t0ken-of-the-second-client";
/** Short, so that silent connections are detected soon. */
export const HEARTBEATS = { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000, closeTimeoutMs: 1000 };
/** Calls outlast any interruption of their session. */
export const PATIENT_MS = 600_000;
