/**
 * The states of one connection.
 *
 * Theory of operation. A connection is in exactly one of eleven states. It changes state only through a named event,
 * and only if the table below has an entry for the pair of state and event; otherwise INVALID_STATE is thrown, so an
 * unexpected transition is an error instead of a silent overwrite. The table is data: the code looks transitions up,
 * `toMermaid` generates the diagram in ARCHITECTURE.md, and the tests walk it.
 *
 *   disconnected    a client that has not dialled, or a server's connection before it is accepted
 *   connecting      a client dials (name lookup, TCP, TLS); there is no stream
 *   authenticating  the stream is open and carries the login; a server's connection begins here
 *   connected       logged in; the connect hooks run, and the application's frames wait
 *   active          in use
 *   paused          in use but held back: messages wait for the peer's permission, or this side has stopped reading
 *   suspended       the stream was lost, and the session waits for a new one
 *   draining        a client's connection to a stopping server: pending calls finish, new ones aren't sent
 *   closing         this side is closing it: the queue is flushed, and the peer has until the deadline
 *   closed          ended cleanly
 *   failed          ended by the error in the state change
 *
 * Two causes can hold a connection in `paused` at the same time. Its owner tracks them: the first one sends `pause`,
 * and the end of the last one sends `resume`. A cause that arises while the connect hooks run takes effect after
 * `ready`.
 *
 * While a client's session waits, the next attempt has a second state machine, which the listeners are attached to. If
 * the attempt restores the session, the session's connection takes over its machine.
 *
 * `closed` and `failed` are final. `close` in `failed` occurs when a client gives up while waiting to reconnect. A
 * client has one state machine per connection attempt, with shared listeners; each starts in the final state of the
 * previous one.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import { checkFunction } from "../util/check-function.ts";
import { runCallback } from "../util/run-callback.ts";

/** State of a connection. */
export type ConnectionState =
  | "disconnected"
  | "connecting"
  | "authenticating"
  | "connected"
  | "active"
  | "paused"
  | "suspended"
  | "draining"
  | "closing"
  | "closed"
  | "failed";

/** Event that changes a connection's state. */
export type ConnectionEvent =
  /** A client starts to connect. */
  | "dial"
  /** A server accepted the stream. */
  | "accepted"
  /** The client's stream is open. */
  | "opened"
  /** The handshake succeeded. */
  | "authenticated"
  /** The connect hooks have finished. */
  | "ready"
  /** Messages wait for the peer's permission, or this side stopped reading. */
  | "pause"
  /** The cause of the pause ended. */
  | "resume"
  /** The stream was lost; the session is kept. */
  | "cut"
  /** The session continues over a new stream. */
  | "restore"
  /** The server is stopping, and accepts no new messages and requests. */
  | "drain"
  /** This side closes the connection. */
  | "close"
  /** The stream has ended without an error. */
  | "closed"
  /** The connection failed, was rejected or timed out. */
  | "fail";

/** Reason for a change of state. */
export interface StateReason {
  /** An `ErrorCode`, or a code from the peer. Absent if there was no error. */
  readonly code?: number;
  /** Human-readable explanation. */
  readonly message: string;
}

/** A change of state, as passed to listeners. */
export interface StateChange {
  readonly from: ConnectionState;
  readonly to: ConnectionState;
  readonly event: ConnectionEvent;
  readonly reason: StateReason;
  /** Wall clock, Unix milliseconds. */
  readonly atMs: number;
}

/** All transitions: state, event, next state. */
export const transitions: Readonly<
  Record<ConnectionState, Readonly<Partial<Record<ConnectionEvent, ConnectionState>>>>
> = {
  disconnected: { dial: "connecting", accepted: "authenticating" },
  connecting: { opened: "authenticating", close: "closing", fail: "failed" },
  authenticating: { authenticated: "connected", restore: "active", close: "closing", closed: "closed", fail: "failed" },
  connected: { ready: "active", close: "closing", closed: "closed", fail: "failed" },
  active: { pause: "paused", cut: "suspended", drain: "draining", close: "closing", closed: "closed", fail: "failed" },
  paused: { resume: "active", cut: "suspended", drain: "draining", close: "closing", closed: "closed", fail: "failed" },
  suspended: { dial: "connecting", restore: "active", closed: "closed", fail: "failed" },
  draining: { cut: "suspended", close: "closing", closed: "closed", fail: "failed" },
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

type Listener = (change: StateChange) => unknown;

/** Shared by all empty lists. */
const NONE: readonly never[] = [];

/** Receives errors thrown by a listener. Must not throw. */
export interface StateHost {
  /** Unix milliseconds. */
  wallClock(): number;
  listenerFailed(error: unknown, change: StateChange): void;
}

/** Listeners of one connection, or of several consecutive ones. */
export class StateListeners {
  readonly #host: StateHost;
  /** Wrapped in objects, so that a function added twice counts as two registrations. */
  #listeners: readonly { readonly listener: Listener }[] = NONE;
  /** Changes caused by listeners while an earlier change is being delivered; null if none is. */
  #waiting: StateChange[] | null = null;

  constructor(host: StateHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#listeners.length === 0;
  }

  /** Adds a listener. Returns a function that removes it immediately. */
  add(listener: Listener): () => void {
    checkFunction("A listener", listener);
    const entry = { listener };
    this.#listeners = [...this.#listeners, entry];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== entry);
    };
  }

  /** Calls the listeners in the order of the changes, even if a listener causes another change. */
  notify(change: StateChange): void {
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
    // Iterates over the current list, because listeners added during the loop were added after the change.
    for (const entry of this.#listeners) {
      if (!this.#listeners.includes(entry)) continue;
      void runCallback(
        () => entry.listener(change),
        (error) => this.#host.listenerFailed(error, change),
      );
    }
  }
}

/** The state of one connection. */
export class ConnectionStateMachine {
  readonly #host: StateHost;
  #state: ConnectionState;
  #listeners: StateListeners | null;

  /**
   * @param from initial state. Default `disconnected`.
   * @param listeners default: a new list
   */
  constructor(host: StateHost, from: ConnectionState = "disconnected", listeners: StateListeners | null = null) {
    this.#host = host;
    this.#state = from;
    this.#listeners = listeners;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Returns a machine in the same state, without listeners. */
  withoutListeners(): ConnectionStateMachine {
    return new ConnectionStateMachine(this.#host, this.#state);
  }

  /** The connection has ended. */
  get isOver(): boolean {
    return this.#state === "closed" || this.#state === "failed";
  }

  /** Whether the table has a transition for `event` in the current state. For events that a peer can cause at any time. */
  allows(event: ConnectionEvent): boolean {
    return transitions[this.#state][event] !== undefined;
  }

  /**
   * Changes to the table's next state for `event`, then calls the listeners.
   * @throws ConduitError INVALID_STATE if the table has none; the state doesn't change and no listener is called
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
    this.#listeners.notify({ from, to, event, reason, atMs: this.#host.wallClock() });
  }

  /**
   * Calls `listener` after every change, in the order of the changes, even if a listener causes another change.
   * @returns a function that removes it immediately
   */
  onChange(listener: Listener): () => void {
    this.#listeners ??= new StateListeners(this.#host);
    return this.#listeners.add(listener);
  }
}
