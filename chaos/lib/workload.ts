/** The number of ids per lane. */

/** Clients of a run, in one process: the first logs in with a password, the second with a token. */
export const CLIENTS = ["c0", "c1"] as const;

/**
 * `"cuts"`: sessions survive, and nothing may be lost. `"network"`: the same between network namespaces. `"kills"`:
 * processes are killed, and acknowledged ids must not be lost. `"store"`: the same, and the server has a store.
 * `"disk"`: in addition, the store's disk is full for a while, and later read-only.
 */
export const MODES = ["cuts", "kills", "store", "disk", "network"] as const;
export type Mode = (typeof MODES)[number];

/** Whether processes are killed, so that sessions end. */
export function hasKills(mode: Mode): boolean {
  return mode !== "cuts" && mode !== "network";
}

export function hasStore(mode: Mode): boolean {
  return mode === "store" || mode === "disk";
}

/** Kinds of lanes, each in both directions unless the comment says otherwise. */
export interface Workload {
  /** Plain messages. */
  readonly message: number;
  /** Plain calls. */
  readonly call: number;
  /** Messages with `ack`. */
  readonly ack: number;
  /** Calls with `once`. */
  readonly once: number;
  /** Stream items: inputs and outputs of the client's calls, and outputs of the server's calls. */
  readonly items: number;
  /** Messages of each client's topic and of the server's topic; each goes to all clients. */
  readonly published: number;
}

export function workloadOf(mode: Mode, messages: number): Workload {
  const each = messages / CLIENTS.length;
  const share = (part: number): number => Math.ceil(each * part);
  if (hasKills(mode))
    return { message: share(0.1), call: 0, ack: share(0.2), once: share(0.2), items: 0, published: 0 };
  return {
    message: share(0.2),
    call: share(0.08),
    ack: share(0.04),
    once: share(0.04),
    items: share(0.05),
    published: share(0.065),
  };
}

/** Returns the number of ids of each lane. `>` goes to the server, `<` to a client. */
export function lanesOf(mode: Mode, workload: Workload): Map<string, number> {
  const lanes = new Map<string, number>();
  for (const client of CLIENTS) {
    for (const kind of ["message", "call", "ack", "once"] as const) {
      lanes.set(`${client}>${kind}`, workload[kind]);
      lanes.set(`${client}<${kind}`, workload[kind]);
    }
    if (hasKills(mode)) continue;
    lanes.set(`${client}>input`, workload.items);
    lanes.set(`${client}>asked`, workload.items);
    lanes.set(`${client}<output`, workload.items);
    lanes.set(`${client}<news`, workload.published);
    for (const from of CLIENTS) lanes.set(`${client}<chat-of-${from}`, workload.published);
  }
  for (const [lane, count] of lanes) if (count === 0) lanes.delete(lane);
  return lanes;
}

/** Total number of ids that a side receives. */
export function expectedAt(side: "server" | "client", lanes: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [lane, count] of lanes) if (lane.includes(side === "server" ? ">" : "<")) sum += count;
  return sum;
}
