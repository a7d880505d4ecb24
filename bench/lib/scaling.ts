/**
 * Reckons the nodes of a large fleet from measured costs: the tables of docs/scaling.md. It adds up means, so it knows nothing of
 * peaks, of hot topics, or of networks.
 */
import { formatNumber, formatTable } from "./format.ts";

/** Measured by `bench/nodes.ts` (and memory by `bench/run.ts`); docs/scaling.md has the runs. Microseconds of CPU time, bytes. */
export const COSTS = {
  /** A delivery with a write of its own: 1,000 subscribers, one message in a turn. */
  deliveryUs: 7.41,
  /** A node publishes to others: 100 in a turn. */
  sendUs: 5.68,
  /** A node receives from others, 100 in a turn; its one delivery included. */
  receiveUs: 4.44,
  /** NATS takes in a message, and gives one out: 100 in a turn. */
  natsInUs: 0.97,
  natsOutUs: 0.66,
  /** A frame of a client and the answer to it, each a read or write of its own: heartbeats of 2,000 clients. */
  frameUs: 20,
  /** A login with SCRAM, at the node. */
  loginUs: 485,
  /** A heartbeat between nodes, sent or received: 3 nodes with heartbeatMs 20. */
  beatUs: 200,
  /** A node without clients. */
  nodeBytes: 117 * 2 ** 20,
  /** A connection, resident, among 10,000. */
  connectionBytes: 11.7 * 1024,
  /** A topic on a node: itself, and its subscription at nats.js, which a user has, too. */
  topicBytes: 415,
  subscriptionBytes: 2245,
  /** A subscription at NATS, resident. */
  natsSubscriptionBytes: 814,
  /** A message to a client, with its header, and between nodes, without NATS's lines around it. */
  frameBytes: 92,
  betweenBytes: 96,
} as const;

/** The load that clients make. */
export interface Workload {
  readonly name: string;
  /** Whether each client logs in as a user of its own. */
  readonly hasUsers: boolean;
  /** Subscribers of a room, on any nodes; each client is in one. 0: no rooms. */
  readonly roomSize: number;
  /** Messages of a client to its room, a second. */
  readonly roomMessages: number;
  /** Messages to all clients, a second. */
  readonly broadcasts: number;
  /** Seconds between two heartbeats of a client (`heartbeatIntervalMs`), and between two logins. */
  readonly heartbeatSeconds: number;
  readonly loginSeconds: number;
}

/** A fleet to reckon. */
export interface Plan {
  readonly clients: number;
  readonly workload: Workload;
  /** Seconds between two heartbeats of a node (`heartbeatMs`). */
  readonly beatSeconds: number;
}

const DEVICES: Workload = {
  name: "devices",
  hasUsers: false,
  roomSize: 0,
  roomMessages: 0,
  broadcasts: 0.1,
  heartbeatSeconds: 30,
  loginSeconds: 3600,
};
const CHAT: Workload = { ...DEVICES, name: "chat", hasUsers: true, roomSize: 20, roomMessages: 0.1, broadcasts: 0.01 };

/** Limits of a node, and of NATS. */
const CPU_SHARE = 0.5;
const NODE_MEMORY_BYTES = 4 * 2 ** 30;
/** Linux' default `ip_local_port_range`: connections from one address of a balancer to one address of a node. */
const PORTS = 60_999 - 32_768 + 1;
/** `LimitNOFILE` of many services; a shell often has 1,024. */
const DESCRIPTORS = 65_536;
const SPARE_DESCRIPTORS = 100;
const NATS_SERVER_CORES = 4;
/** Largest number of nodes to try. */
const MAX_NODES = 10_000;

export interface Fleet {
  readonly nodes: number;
  readonly connections: number;
  /** Share of one core, of a node. */
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly bitsPerSecond: number;
  /** Heartbeats between nodes, out of NATS, a second. */
  readonly beats: number;
  readonly natsIn: number;
  readonly natsOut: number;
  readonly natsCores: number;
  readonly natsServers: number;
  readonly natsSubscriptions: number;
  readonly natsBytes: number;
  readonly natsBitsPerSecond: number;
  /** CPU time of the other nodes together, when the clients of a lost node log in again. */
  readonly loginSeconds: number;
}

/** Nodes, besides one's own, on which at least one of `members` others is. */
function nodesWithMembers(members: number, nodes: number): number {
  return (nodes - 1) * (1 - (1 - 1 / nodes) ** members);
}

export function fleetOf({ clients, workload, beatSeconds }: Plan, nodes: number): Fleet {
  const { hasUsers, roomSize, roomMessages, broadcasts, heartbeatSeconds, loginSeconds } = workload;
  const connections = clients / nodes;
  const beats = (nodes * (nodes - 1)) / beatSeconds;
  const published = clients * roomMessages;
  const crossed = published * nodesWithMembers(roomSize - 1, nodes);
  const delivered = connections * (roomSize * roomMessages + broadcasts);
  const cpuUs =
    connections * (COSTS.frameUs / heartbeatSeconds + COSTS.loginUs / loginSeconds) +
    delivered * COSTS.deliveryUs +
    (published / nodes) * (COSTS.frameUs + COSTS.sendUs) +
    (crossed / nodes) * COSTS.receiveUs +
    ((nodes - 1) / beatSeconds) * COSTS.beatUs;
  const topicsOfNode = roomSize === 0 ? 0 : (clients / roomSize) * (1 - (1 - 1 / nodes) ** roomSize);
  const usersOfNode = hasUsers ? connections : 0;
  const memoryBytes =
    COSTS.nodeBytes +
    connections * COSTS.connectionBytes +
    topicsOfNode * (COSTS.topicBytes + COSTS.subscriptionBytes) +
    usersOfNode * COSTS.subscriptionBytes;
  const natsIn = published + broadcasts + nodes / beatSeconds;
  const natsOut = crossed + broadcasts * (nodes - 1) + beats;
  const natsCores = (natsIn * COSTS.natsInUs + natsOut * COSTS.natsOutUs) / 1e6 / CPU_SHARE;
  const natsSubscriptions = (topicsOfNode + usersOfNode) * nodes;
  return {
    nodes,
    connections,
    cpu: cpuUs / 1e6,
    memoryBytes,
    bitsPerSecond: delivered * COSTS.frameBytes * 8,
    beats,
    natsIn,
    natsOut,
    natsCores,
    // One may fail.
    natsServers: Math.max(3, Math.ceil(natsCores / NATS_SERVER_CORES) + 1),
    natsSubscriptions,
    natsBytes: natsSubscriptions * COSTS.natsSubscriptionBytes,
    natsBitsPerSecond: (natsIn + natsOut) * COSTS.betweenBytes * 8,
    loginSeconds: (connections * COSTS.loginUs) / 1e6,
  };
}

/** The limits, in the order of the columns. */
const LIMITS: Readonly<Record<string, (fleet: Fleet) => boolean>> = {
  CPU: ({ cpu }) => cpu <= CPU_SHARE,
  memory: ({ memoryBytes }) => memoryBytes <= NODE_MEMORY_BYTES,
  descriptors: ({ connections }) => connections <= DESCRIPTORS - SPARE_DESCRIPTORS,
  ports: ({ connections }) => connections <= PORTS,
};

/** The smallest fleet that is within these limits; null if none is: heartbeats grow with the square of the nodes. */
export function smallestFleet(plan: Plan, limits: readonly string[] = Object.keys(LIMITS)): Fleet | null {
  for (let nodes = 2; nodes <= MAX_NODES; nodes += 1) {
    const fleet = fleetOf(plan, nodes);
    if (limits.every((name) => LIMITS[name]?.(fleet))) return fleet;
  }
  return null;
}

const PLANS: readonly Plan[] = [
  { clients: 1e6, workload: DEVICES, beatSeconds: 1 },
  { clients: 1e6, workload: CHAT, beatSeconds: 1 },
  { clients: 1e7, workload: DEVICES, beatSeconds: 1 },
  { clients: 1e7, workload: CHAT, beatSeconds: 1 },
  { clients: 1e7, workload: CHAT, beatSeconds: 5 },
];
const gib = (bytes: number): string => formatNumber(bytes / 2 ** 30);
const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

/** Name and text of each table of docs/scaling.md. */
export function scalingTables(): ReadonlyMap<string, string> {
  const titleOf = ({ clients, workload, beatSeconds }: Plan): string =>
    `${whole(clients)} ${workload.name}${beatSeconds === 1 ? "" : `, heartbeatMs ${whole(beatSeconds * 1000)}`}`;
  const limits = PLANS.map((plan) => {
    const fewest = Object.keys(LIMITS).map((name) => ({
      name,
      nodes: smallestFleet(plan, [name])?.nodes ?? null,
    }));
    const [first] = fewest.toSorted((a, b) => (b.nodes ?? MAX_NODES) - (a.nodes ?? MAX_NODES));
    return [titleOf(plan), ...fewest.map(({ nodes }) => (nodes === null ? "none" : whole(nodes))), first?.name ?? ""];
  });
  const fleets = PLANS.flatMap((plan) => {
    const fleet = smallestFleet(plan);
    return fleet === null ? [] : [{ title: titleOf(plan), fleet }];
  });
  const nodes = fleets.map(({ title, fleet }) => [
    title,
    whole(fleet.nodes),
    whole(fleet.connections),
    `${whole(fleet.cpu * 100)} %`,
    gib(fleet.memoryBytes),
    formatNumber(fleet.bitsPerSecond / 1e6),
    formatNumber(fleet.loginSeconds),
  ]);
  const nats = fleets.map(({ title, fleet }) => [
    title,
    whole(fleet.natsIn),
    whole(fleet.natsOut),
    whole(fleet.beats),
    formatNumber(fleet.natsCores),
    whole(fleet.natsServers),
    whole(fleet.natsSubscriptions),
    gib(fleet.natsBytes),
    formatNumber(fleet.natsBitsPerSecond / 1e6),
  ]);
  const growth = [3, 10, 30, 100, 300, 1000].map((count) => {
    const { beats } = fleetOf({ clients: count, workload: DEVICES, beatSeconds: 1 }, count);
    const share = ((count - 1) * COSTS.beatUs) / 1e6;
    return [
      whole(count),
      whole(beats),
      `${formatNumber(share * 100)} %`,
      formatNumber((beats * COSTS.natsOutUs) / 1e6),
      formatNumber((beats * COSTS.betweenBytes * 8) / 1e6),
    ];
  });
  return new Map([
    ["limits", formatTable(["Clients", "CPU", "memory", "descriptors", "ports", "first"], limits)],
    [
      "nodes",
      formatTable(
        [
          "Clients",
          "nodes",
          "connections of each",
          "CPU of each",
          "memory, GiB",
          "to clients, Mbit/s",
          "logins after a loss, core s",
        ],
        nodes,
      ),
    ],
    [
      "nats",
      formatTable(
        [
          "Clients",
          "in, messages/s",
          "out, messages/s",
          "heartbeats among them",
          "cores",
          "servers",
          "subscriptions",
          "memory, GiB",
          "Mbit/s",
        ],
        nats,
      ),
    ],
    [
      "heartbeats",
      formatTable(["Nodes", "heartbeats/s out of NATS", "CPU of a node", "cores of NATS", "Mbit/s"], growth, 0),
    ],
  ]);
}
