import type { PoolConnection } from "./pool-connection.ts";

/** One server of a pool. */
export interface PoolServerStats {
  /** Its address: `10.0.0.1:8080`, `unix:/run/app.sock`. */
  readonly server: string;
  /** The name in the option `servers` of which this is one of several addresses; null if it isn't. */
  readonly name: string | null;
  /** Connections that take new calls. */
  readonly connected: number;
  /** Connections altogether: the option `size`. */
  readonly size: number;
  /** Whether it is stopping: it gets no new calls. */
  readonly isDraining: boolean;
  /** Calls and requests that wait for its replies. */
  readonly pendingCalls: number;
  /** Moving average of its heartbeats' round trips, with `"least-latency"` also of its calls; null before the first. */
  readonly latencyMs: number | null;
}

/** A snapshot of a pool. */
export interface PoolStats {
  readonly servers: readonly PoolServerStats[];
  /** Servers that take new calls. */
  readonly connectedServers: number;
  readonly pendingCalls: number;
  /** Messages and calls that wait for a server, with `queueWhileDisconnected: "send"`. */
  readonly queued: number;
  /** How often a call or request was sent to another server, because the first certainly never looked at it. */
  readonly movedCalls: number;
}

/** The parts of a connection that {@link serverStats} reads. */
type Connection = Pick<PoolConnection, "averageMs" | "isUsable" | "pendingCalls" | "server"> & {
  readonly client: Pick<PoolConnection["client"], "state">;
};

/** Describes a server by its connections. */
export function serverStats(server: string, connections: readonly Connection[]): PoolServerStats {
  const averages = connections.map(({ averageMs }) => averageMs).filter((ms) => ms !== null);
  return {
    server,
    name: connections[0]?.server.name ?? null,
    connected: connections.filter(({ isUsable }) => isUsable).length,
    size: connections.length,
    isDraining: connections.some(({ client }) => client.state === "draining"),
    pendingCalls: sumOf(connections.map(({ pendingCalls }) => pendingCalls)),
    latencyMs: averages.length === 0 ? null : sumOf(averages) / averages.length,
  };
}

export function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
