/**
 * Tracks which nodes are alive.
 *
 * Theory of operation. Each node sends a heartbeat to all others every `heartbeatMs`. A node that sends nothing for
 * `nodeTimeoutMs` is removed. Each run of a node (from start to stop) is identified by the node's id and an epoch,
 * which is random text. If two runs have the same id, the one that started later wins and messages of the other are
 * dropped. So late messages from before a restart have no effect, and of two nodes with the same id one leaves. The
 * run that seems older is accepted once the other one is silent, because a machine may restart with its clock behind.
 * A node that was removed and is heard from again, after a partition or a pause, joins again. Its heartbeat numbers
 * continue, and show whether any of its messages were missed in between.
 *
 * A node numbers its links to the engine as well. A message over an older link, delayed in the network while the node
 * reconnected, is dropped because it would be out of order.
 */

import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { NodeIdentity } from "./envelope.ts";

/** The contents of a heartbeat. */
export interface Heartbeat {
  /** Unix milliseconds. */
  readonly startedAt: number;
  /** Number of logged-in clients. */
  readonly connections: number;
  /** Increases by 1 with each heartbeat to all; 0 for one that answers another. */
  readonly sequence: number;
}

/** A node that is alive. */
export interface Node extends NodeIdentity {
  readonly startedAt: number;
  connections: number;
  /** Monotonic milliseconds. */
  lastHeardAtMs: number;
  /** Sequence number of its last heartbeat to all. */
  sequence: number;
  /** When the heartbeat before the last one arrived, in monotonic milliseconds. */
  formerBeatAtMs: number;
  /** When its last heartbeat to all arrived, in monotonic milliseconds. */
  beatAtMs: number;
  link: number;
}

/** Why a node was removed. */
export type NodeEnd = "left" | "timeout" | "replaced";

export interface MembershipHost {
  readonly wheel: TimerWheel;
  readonly heartbeatMs: number;
  readonly nodeTimeoutMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Sends this node's heartbeat. */
  sendHeartbeat(): void;
  /** @param isBack whether this run had been removed by timeout before */
  joined(node: Node, isBack: boolean): void;
  left(node: Node, why: NodeEnd): void;
  /**
   * Heartbeats of a node were missed, so other messages may have been missed too.
   * @param heardAtMs when its previous message arrived
   */
  missedFrom(node: Node, heardAtMs: number): void;
  /** A later run with this node's id has appeared. */
  replaced(): void;
}

/** Number of replaced runs to remember. */
const MAX_FORMER = 10_000;
/** Number of timed-out nodes to remember. */
const MAX_LOST = 1000;
/** For this many times `nodeTimeoutMs`, a timed-out node counts as lost: it may return after a partition. */
const LOST_TIMEOUTS = 12;

export class Membership {
  readonly #host: MembershipHost;
  readonly #self: NodeIdentity & { readonly startedAt: number };
  readonly #nodes = new Map<string, Node>();
  /** The same nodes by epoch. */
  readonly #byEpoch = new Map<string, Node>();
  /** Epochs of runs that a later one has replaced; oldest first. */
  readonly #former = new Set<string>();
  /** Timed-out runs by epoch; oldest first. */
  readonly #lost = new Map<string, { readonly node: Node; readonly untilMs: number }>();
  readonly #timer: CallbackTimer;
  #dueAtMs = 0;

  constructor(host: MembershipHost, self: NodeIdentity & { readonly startedAt: number }) {
    this.#host = host;
    this.#self = self;
    this.#timer = new CallbackTimer(() => this.#tick());
  }

  /** The other nodes, by id. */
  get nodes(): ReadonlyMap<string, Node> {
    return this.#nodes;
  }

  /** Nodes that timed out recently, and may be alive but unreachable. */
  get lost(): Node[] {
    const now = this.#host.now();
    return [...this.#lost.values()].filter(({ untilMs }) => untilMs > now).map(({ node }) => node);
  }

  /** The run with this epoch, if it is alive. */
  byEpoch(epoch: string): Node | undefined {
    return this.#byEpoch.get(epoch);
  }

  /** Whether to accept messages of this run over this link. */
  isCurrent({ id, epoch, link }: NodeIdentity): boolean {
    if (this.#former.has(epoch) || id === this.#self.id) return false;
    const current = this.#nodes.get(id);
    if (current !== undefined && current.epoch !== epoch) return false;
    const known = current ?? this.#lost.get(epoch)?.node;
    if (known === undefined) return true;
    if (link > known.link) known.link = link;
    return link === known.link;
  }

  start(): void {
    this.#schedule();
  }

  stop(): void {
    this.#host.wheel.cancel(this.#timer);
  }

  /** Handles a node's heartbeat. */
  heartbeatReceived(from: NodeIdentity, { startedAt, connections, sequence }: Heartbeat): void {
    const { id, epoch, link } = from;
    if (id === this.#self.id) {
      if (epoch !== this.#self.epoch && isLater({ epoch, startedAt }, this.#self)) this.#host.replaced();
      return;
    }
    if (this.#former.has(epoch)) return;
    const known = this.#nodes.get(id);
    if (known !== undefined && known.epoch !== epoch) {
      // Don't remember it as replaced: if its machine's clock is behind, it may be the newer run, and the other one ends.
      if (!isLater({ epoch, startedAt }, known)) return;
      this.#remember(known.epoch);
      this.#remove(known, "replaced");
    }
    const before = known?.epoch === epoch ? known : this.#lost.get(epoch)?.node;
    const node = before ?? {
      id,
      epoch,
      startedAt,
      connections,
      sequence: 0,
      lastHeardAtMs: 0,
      formerBeatAtMs: 0,
      beatAtMs: 0,
      link,
    };
    // Delayed in the network.
    if (link < node.link) return;
    const isMissing = sequence > 0 && node.sequence > 0 && sequence > node.sequence + 1;
    const { lastHeardAtMs: heardAtMs } = node;
    node.lastHeardAtMs = this.#host.now();
    node.connections = connections;
    node.link = link;
    if (sequence > 0) {
      node.sequence = sequence;
      node.formerBeatAtMs = node.beatAtMs;
      node.beatAtMs = node.lastHeardAtMs;
    }
    if (known?.epoch !== epoch) {
      const isBack = this.#lost.has(epoch);
      this.#runSeen(id);
      this.#nodes.set(id, node);
      this.#byEpoch.set(epoch, node);
      this.#host.joined(node, isBack);
    }
    if (isMissing) this.#host.missedFrom(node, heardAtMs);
  }

  /** Handles a node's announcement that it leaves. */
  leaveReceived({ id, epoch }: NodeIdentity): void {
    this.#remember(epoch);
    this.#lost.delete(epoch);
    const node = this.#nodes.get(id);
    if (node?.epoch === epoch) this.#remove(node, "left");
  }

  #tick(): void {
    const host = this.#host;
    const now = host.now();
    // This process was paused: heartbeats that arrived during the pause haven't been read yet.
    const isLate = now - this.#dueAtMs > host.heartbeatMs;
    // First, because the code below may fail or end this run.
    this.#schedule();
    host.sendHeartbeat();
    for (const node of [...this.#nodes.values()]) {
      if (isLate) node.lastHeardAtMs = Math.max(node.lastHeardAtMs, now - host.nodeTimeoutMs + host.heartbeatMs);
      if (now - node.lastHeardAtMs > host.nodeTimeoutMs) this.#remove(node, "timeout");
    }
  }

  #schedule(): void {
    const { wheel, heartbeatMs } = this.#host;
    this.#dueAtMs = this.#host.now() + heartbeatMs;
    wheel.schedule(this.#timer, heartbeatMs);
  }

  #remove(node: Node, why: NodeEnd): void {
    this.#nodes.delete(node.id);
    this.#byEpoch.delete(node.epoch);
    if (why === "timeout") this.#lose(node);
    this.#host.left(node, why);
  }

  #lose(node: Node): void {
    this.#lost.set(node.epoch, { node, untilMs: this.#host.now() + LOST_TIMEOUTS * this.#host.nodeTimeoutMs });
    for (const oldest of this.#lost.keys()) {
      if (this.#lost.size <= MAX_LOST) return;
      this.#lost.delete(oldest);
    }
  }

  /** A run of this id is alive, so its other runs no longer count as lost. */
  #runSeen(id: string): void {
    for (const [epoch, { node }] of this.#lost) if (node.id === id) this.#lost.delete(epoch);
  }

  #remember(epoch: string): void {
    this.#former.add(epoch);
    for (const oldest of this.#former) {
      if (this.#former.size <= MAX_FORMER) return;
      this.#former.delete(oldest);
    }
  }
}

type Run = Pick<Node, "epoch" | "startedAt">;

/** Whether a run started after another; a tie is broken in the same way on all nodes. */
function isLater(run: Run, than: Run): boolean {
  return run.startedAt > than.startedAt || (run.startedAt === than.startedAt && run.epoch > than.epoch);
}
