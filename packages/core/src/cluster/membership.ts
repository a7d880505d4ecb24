/**
 * Which nodes are alive.
 *
 * Theory of operation. Each node says that it is alive every `heartbeatMs`, to all; one that wasn't heard for
 * `nodeTimeoutMs` is gone. A run of a node is its id and its epoch, a random text. If two runs have the same id, the one
 * that started later counts. Messages of the earlier one are dropped from then on, so late messages from before a
 * restart have no effect, and of two nodes with the same id one leaves. A run that seems earlier counts once the other
 * one isn't heard any more, because a machine may restart with its clock behind. A node that was gone and is heard
 * again, after a partition or a pause, has joined anew; the numbers of its heartbeats go on, and tell whether it has
 * sent anything meanwhile that didn't arrive.
 *
 * A node numbers its links to the engine, too. A message over an earlier link than is known, which the network kept back
 * while the node reconnected, is dropped: it would be out of order.
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
  /** Grows by 1 with each heartbeat to all; 0 for one that answers another. */
  readonly sequence: number;
}

/** A node that is alive. */
export interface Node extends NodeIdentity {
  readonly startedAt: number;
  connections: number;
  /** Monotonic milliseconds. */
  heardAtMs: number;
  /** Number of its last heartbeat to all. */
  sequence: number;
  /** When the one before that was heard, in monotonic milliseconds. */
  formerBeatAtMs: number;
  /** When that was heard, in monotonic milliseconds. */
  beatAtMs: number;
  link: number;
}

/** Why a node is gone. */
export type NodeEnd = "left" | "timeout" | "replaced";

export interface MembershipHost {
  readonly wheel: TimerWheel;
  readonly heartbeatMs: number;
  readonly nodeTimeoutMs: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Says that this node is alive. */
  beat(): void;
  /** @param isBack whether it is the same run of a node that had been gone by timeout */
  joined(node: Node, isBack: boolean): void;
  gone(node: Node, why: NodeEnd): void;
  /**
   * Heartbeats of a node are missing, so other messages may be missing too.
   * @param heardAtMs when it was heard before
   */
  missedFrom(node: Node, heardAtMs: number): void;
  /** A later run of this node's id was heard. */
  replaced(): void;
}

/** Former runs that are remembered. */
const MAX_FORMER = 10_000;
/** Nodes gone by timeout that are remembered. */
const MAX_LOST = 1000;
/** For this many times `nodeTimeoutMs`, a node gone by timeout counts as lost: it may come back after a partition. */
const LOST_TIMEOUTS = 12;

export class Membership {
  readonly #host: MembershipHost;
  readonly #self: NodeIdentity & { readonly startedAt: number };
  readonly #nodes = new Map<string, Node>();
  /** The same by epoch. */
  readonly #byEpoch = new Map<string, Node>();
  /** Epochs of runs that a later one has replaced; oldest first. */
  readonly #former = new Set<string>();
  /** Runs that are gone by timeout, by epoch; oldest first. */
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

  /** Nodes that timed out a short time ago: they may be alive but cut off. */
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

  /** A heartbeat arrived. */
  heard(from: NodeIdentity, { startedAt, connections, sequence }: Heartbeat): void {
    const { id, epoch, link } = from;
    if (id === this.#self.id) {
      if (epoch !== this.#self.epoch && isLater({ epoch, startedAt }, this.#self)) this.#host.replaced();
      return;
    }
    if (this.#former.has(epoch)) return;
    const known = this.#nodes.get(id);
    if (known !== undefined && known.epoch !== epoch) {
      // Don't remember it as replaced: on a machine whose clock is behind, it may be the later one. Then the other one
      // ends.
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
      heardAtMs: 0,
      formerBeatAtMs: 0,
      beatAtMs: 0,
      link,
    };
    // The network delayed it.
    if (link < node.link) return;
    const isMissing = sequence > 0 && node.sequence > 0 && sequence > node.sequence + 1;
    const { heardAtMs } = node;
    node.heardAtMs = this.#host.now();
    node.connections = connections;
    node.link = link;
    if (sequence > 0) {
      node.sequence = sequence;
      node.formerBeatAtMs = node.beatAtMs;
      node.beatAtMs = node.heardAtMs;
    }
    if (known?.epoch !== epoch) {
      const isBack = this.#lost.has(epoch);
      this.#found(id);
      this.#nodes.set(id, node);
      this.#byEpoch.set(epoch, node);
      this.#host.joined(node, isBack);
    }
    if (isMissing) this.#host.missedFrom(node, heardAtMs);
  }

  /** A node says that it leaves. */
  left({ id, epoch }: NodeIdentity): void {
    this.#remember(epoch);
    this.#lost.delete(epoch);
    const node = this.#nodes.get(id);
    if (node?.epoch === epoch) this.#remove(node, "left");
  }

  #tick(): void {
    const host = this.#host;
    const now = host.now();
    // This process stood still: heartbeats that arrived meanwhile haven't been read.
    const isLate = now - this.#dueAtMs > host.heartbeatMs;
    // First, since anything below may fail, or end this run.
    this.#schedule();
    host.beat();
    for (const node of [...this.#nodes.values()]) {
      if (isLate) node.heardAtMs = Math.max(node.heardAtMs, now - host.nodeTimeoutMs + host.heartbeatMs);
      if (now - node.heardAtMs > host.nodeTimeoutMs) this.#remove(node, "timeout");
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
    this.#host.gone(node, why);
  }

  #lose(node: Node): void {
    this.#lost.set(node.epoch, { node, untilMs: this.#host.now() + LOST_TIMEOUTS * this.#host.nodeTimeoutMs });
    for (const oldest of this.#lost.keys()) {
      if (this.#lost.size <= MAX_LOST) return;
      this.#lost.delete(oldest);
    }
  }

  /** A run of this node is alive: no other run of it is missed. */
  #found(id: string): void {
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
