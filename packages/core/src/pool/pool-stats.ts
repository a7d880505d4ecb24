import type { PoolConnection } from "./pool-connection.ts";

/** One server of a pool. */
export interface PoolServerStats {
  /** Its address: `10.0.0.1:8080`, `unix:/run/app.sock`. */
  readonly server: string;
  /** The name in the option `servers` that resolved to this address; null if it was given by address. */
  readonly name: string | null;
  /** Number of connections that accept new calls. */
  readonly connected: number;
  /** Total number of connections: the option `size`. */
  readonly size: number;
  /** Whether it is stopping, so that it gets no new calls. */
  readonly isDraining: boolean;
  /** Number of calls and requests waiting for its replies. */
  readonly pendingCalls: number;
  /** Moving average of heartbeat round trips, and with `"least-latency"` also of calls; null before the first. */
  readonly latencyMs: number | null;
}

/** A snapshot of a pool. */
export interface PoolStats {
  readonly servers: readonly PoolServerStats[];
  /** Number of servers that accept new calls. */
  readonly connectedServers: number;
  readonly pendingCalls: number;
  /** Number of messages and calls waiting for a server, with `queueWhileDisconnected: "send"`. */
  readonly queued: number;
  /** Number of times that a call or request was moved to another server, because the first certainly didn't start it. */
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
