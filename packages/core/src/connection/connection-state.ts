/**
 * The life of one connection.
 *
 * Theory of operation. A connection is in exactly one of nine states. It moves only by a named event, and only where
 * the table below has an entry for the pair of state and event; everything else throws INVALID_STATE, so a move that
 * nobody thought of is an error and never a silent overwrite. The table is data: the code looks moves up in it,
 * `toMermaid` draws the diagram in ARCHITECTURE.md from it, and the tests walk it.
 *
 *   disconnected    nothing yet; a client that has not dialled, a server connection before it is accepted
 *   connecting      a client is dialling (name lookup, TCP, TLS); there is no stream
 *   authenticating  the stream is open and carries the handshake; a server's connection begins its work here
 *   connected       logged in; the connect hooks run; the application's frames wait
 *   active          in use
 *   paused          in use, but held back: the peer said PAUSE, or our own reading is stopped
 *   closing         this side ends it: the queue is flushed, the peer has until the deadline
 *   closed          over, cleanly
 *   failed          over, for the reason that the change carries
 *
 * Two things can hold a connection in `paused` at once. Its owner counts them: the first one sends `pause`, the end
 * of the last one sends `resume`. A PAUSE that arrives while the connect hooks still run is remembered by the owner
 * and sent after `ready`.
 *
 * `closed` and `failed` end a connection. `close` in `failed` is a client that gives up while it waits to dial again. A
 * client has one machine for each dial, with the same listeners: the next one starts where the last one ended.
 */
import { ConduitError, ErrorCode } from "../errors.ts";

/** State of a connection. */
export type ConnectionState =
  | "disconnected"
  | "connecting"
  | "authenticating"
  | "connected"
  | "active"
  | "paused"
  | "closing"
  | "closed"
  | "failed";

/** What moves a connection from one state to the next. */
export type ConnectionEvent =
  /** A client starts to connect. */
  | "dial"
  /** A server accepted the stream. */
  | "accepted"
  /** The client's stream is open. */
  | "opened"
  /** The handshake succeeded. */
  | "authenticated"
  /** The connect hooks are done. */
  | "ready"
  /** Held back: the peer said PAUSE, or our reading stopped. */
  | "pause"
  /** No longer held back. */
  | "resume"
  /** This side wants the end. */
  | "close"
  /** The stream has ended without an error. */
  | "closed"
  /** The connection broke, was refused, or timed out. */
  | "fail";

/** Why a connection changed its state. */
export interface StateReason {
  /** An `ErrorCode`, or a code the peer sent. Absent when nothing went wrong. */
  readonly code?: number;
  /** For people and logs. */
  readonly message: string;
}

/** One change of state, as listeners see it. */
export interface StateChange {
  readonly from: ConnectionState;
  readonly to: ConnectionState;
  readonly event: ConnectionEvent;
  readonly reason: StateReason;
  /** Wall clock, Unix milliseconds. */
  readonly atMs: number;
}

/** Every move there is: state, event, next state. */
export const transitions: Readonly<
  Record<ConnectionState, Readonly<Partial<Record<ConnectionEvent, ConnectionState>>>>
> = {
  disconnected: { dial: "connecting", accepted: "authenticating" },
  connecting: { opened: "authenticating", close: "closing", fail: "failed" },
  authenticating: { authenticated: "connected", close: "closing", closed: "closed", fail: "failed" },
  connected: { ready: "active", close: "closing", closed: "closed", fail: "failed" },
  active: { pause: "paused", close: "closing", closed: "closed", fail: "failed" },
  paused: { resume: "active", close: "closing", closed: "closed", fail: "failed" },
  closing: { closed: "closed", fail: "failed" },
  closed: { dial: "connecting" },
  failed: { dial: "connecting", close: "closed" },
};

/** The table as a Mermaid state diagram. */
export function toMermaid(): string {
  const lines = ["stateDiagram-v2", "  [*] --> disconnected"];
  for (const [from, moves] of Object.entries(transitions)) {
    for (const [event, to] of Object.entries(moves)) {
      lines.push(`  ${from} --> ${to}: ${event}`);
    }
  }
  return lines.join("\n");
}

type Listener = (change: StateChange) => void;

/** Gets what a listener throws. Must not throw itself. */
export interface StateHost {
  /** Unix milliseconds. */
  wallClock(): number;
  listenerFailed(error: unknown, change: StateChange): void;
}

/** The listeners of one or several connections in turn. */
export class StateListeners {
  readonly #host: StateHost;
  /** Boxed, so that a function added twice is two registrations. */
  readonly #listeners: Set<{ readonly listener: Listener }> = new Set();
  /** Changes that listeners caused while they were told of an earlier one. Null: no listener is being told. */
  #waiting: StateChange[] | null = null;

  constructor(host: StateHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#listeners.size === 0;
  }

  /** @returns a function that removes the listener, at once and for good */
  add(listener: Listener): () => void {
    const entry = { listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Tells the listeners, in the order of the changes even when a listener causes another one. */
  tell(change: StateChange): void {
    if (this.#waiting !== null) {
      this.#waiting.push(change);
      return;
    }
    this.#waiting = [];
    try {
      for (let next: StateChange | undefined = change; next !== undefined; next = this.#waiting.shift()) {
        this.#tellAll(next);
      }
    } finally {
      this.#waiting = null;
    }
  }

  #tellAll(change: StateChange): void {
    // A copy: a listener added meanwhile was not there when the change happened.
    for (const entry of [...this.#listeners]) {
      if (!this.#listeners.has(entry)) continue;
      try {
        entry.listener(change);
      } catch (error) {
        this.#host.listenerFailed(error, change);
      }
    }
  }
}

/** The state of one connection. */
export class ConnectionStateMachine {
  readonly #host: StateHost;
  #state: ConnectionState;
  #listeners: StateListeners | null;

  /** @param from where it starts. Default `disconnected`. @param listeners default: its own */
  constructor(host: StateHost, from: ConnectionState = "disconnected", listeners: StateListeners | null = null) {
    this.#host = host;
    this.#state = from;
    this.#listeners = listeners;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The connection has ended. */
  get isOver(): boolean {
    return this.#state === "closed" || this.#state === "failed";
  }

  /** Whether `event` is possible now. For events that a peer can cause at any moment. */
  allows(event: ConnectionEvent): boolean {
    return transitions[this.#state][event] !== undefined;
  }

  /**
   * Moves to the state that the table has for `event`, then tells the listeners.
   * @throws ConduitError INVALID_STATE if the table has none; the state stays as it is and no listener is told.
   */
  transition(event: ConnectionEvent, reason: StateReason): void {
    const from = this.#state;
    const to = transitions[from][event];
    if (to === undefined) {
      const possible = Object.keys(transitions[from]).join(", ");
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `Connection cannot ${event} while ${from} (${reason.message}); possible are: ${possible}`,
        { details: { state: from, event } },
      );
    }
    this.#state = to;
    if (this.#listeners === null || this.#listeners.isEmpty) return;
    this.#listeners.tell({ from, to, event, reason, atMs: this.#host.wallClock() });
  }

  /**
   * Calls `listener` after every change, in the order of the changes even when a listener causes another one.
   * @returns a function that removes it, at once and for good
   */
  onChange(listener: Listener): () => void {
    this.#listeners ??= new StateListeners(this.#host);
    return this.#listeners.add(listener);
  }
}
