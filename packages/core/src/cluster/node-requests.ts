/** Pending questions and calls to other nodes. */

import { ConduitError, cancelledError, ErrorCode } from "../errors.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { Node } from "./membership.ts";
import { OpenCalls } from "./open-calls.ts";

/** The other nodes' answers to a question. */
export interface NodeAnswers {
  /** By node id. */
  readonly answers: ReadonlyMap<string, unknown>;
  /** Ids of nodes that didn't answer in time, left, or answered with an error. */
  readonly missing: readonly string[];
  /** Ids of nodes that answered with an error. */
  readonly failed: ReadonlySet<string>;
}

/** A run of a node. */
export type NodeRun = Pick<Node, "id" | "epoch">;

/** One node's answer. */
export type NodeAnswer = { readonly value: unknown } | { readonly error: ConduitError };

interface Pending {
  /** Ids of the nodes that haven't answered, by epoch. */
  readonly awaited: Map<string, string>;
  /** Whether answers from unknown nodes count, too. */
  readonly isOpen: boolean;
  answered(nodeId: string, answer: NodeAnswer): void;
  /** All answers have arrived, or the time is up. */
  done(): void;
  /** The node has left. */
  lost(nodeId: string): void;
  /** The node is alive but doesn't know the request: it or its answer was lost. */
  unknown(nodeId: string): void;
  readonly timer: CallbackTimer;
}

/** Options of a call to one node. */
export interface NodeCallOptions {
  /** The method's name, for error messages. */
  readonly name: string;
  /** 0 for no limit. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Notifies the node that the caller has given up. */
  cancel(id: number): void;
}

export class NodeRequests {
  readonly #wheel: TimerWheel;
  readonly #pending = new Map<number, Pending>();
  readonly #calls: OpenCalls;
  #nextId = 1;

  /** @param now monotonic milliseconds */
  constructor(wheel: TimerWheel, now: () => number) {
    this.#wheel = wheel;
    this.#calls = new OpenCalls(now);
  }

  /** Number of pending requests. */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * Asks several nodes. Resolves when each has answered or left, or after `timeoutMs`.
   * @param send sends the question with this id; returns false if it can't. If it throws, the promise rejects with
   *   that
   */
  ask(nodes: Iterable<NodeRun>, timeoutMs: number, send: (id: number) => boolean): Promise<NodeAnswers> {
    return new Promise((resolve) => {
      const id = this.#nextId++;
      const answers = new Map<string, unknown>();
      const missing: string[] = [];
      const failed = new Set<string>();
      const awaited = new Map(Array.from(nodes, ({ epoch, id: nodeId }) => [epoch, nodeId]));
      const end = (): void => {
        this.#remove(id);
        resolve({ answers, missing: [...missing, ...awaited.values()], failed });
      };
      const pending: Pending = {
        awaited,
        isOpen: true,
        answered(nodeId, answer) {
          if ("value" in answer) {
            answers.set(nodeId, answer.value);
          } else {
            missing.push(nodeId);
            failed.add(nodeId);
          }
        },
        lost: (nodeId) => missing.push(nodeId),
        unknown: () => undefined,
        done: end,
        timer: new CallbackTimer(end),
      };
      this.#pending.set(id, pending);
      // Send even if no node is known: nodes that this one hasn't met yet may receive it.
      let isSent = false;
      try {
        isSent = send(id);
      } catch (error) {
        this.#remove(id);
        throw error;
      }
      if (awaited.size === 0 || !isSent) end();
      else this.#wheel.schedule(pending.timer, timeoutMs);
    });
  }

  /**
   * Sends a call to one node. Rejects with the RpcError from the node, NODE_UNAVAILABLE if the node, the call or the
   * answer is lost, TIMEOUT, or CANCELLED.
   * @param send sends the call with this id; throws if it can't
   */
  call(node: NodeRun, options: NodeCallOptions, send: (id: number) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { name, timeoutMs, signal } = options;
      if (signal?.aborted === true) throw cancelledError(name, signal.reason);
      const id = this.#nextId++;
      const end = (): void => {
        this.#remove(id);
        this.#calls.delete(node.epoch, id);
        signal?.removeEventListener("abort", onAbort);
      };
      const giveUp = (error: Error): void => {
        end();
        options.cancel(id);
        reject(error);
      };
      const onAbort = (): void => giveUp(cancelledError(name, signal?.reason));
      const timedOut = (): void =>
        giveUp(new ConduitError(ErrorCode.TIMEOUT, `'${name}' timed out after ${timeoutMs} ms on node ${node.id}`));
      const pending: Pending = {
        awaited: new Map([[node.epoch, node.id]]),
        isOpen: false,
        answered(_nodeId, answer) {
          end();
          if ("value" in answer) resolve(answer.value);
          else reject(answer.error);
        },
        lost() {
          end();
          reject(nodeUnavailable(name, node.id, "has left or timed out"));
        },
        unknown() {
          end();
          reject(nodeUnavailable(name, node.id, "doesn't know the call: it or its answer was lost between the nodes"));
        },
        done: () => undefined,
        timer: new CallbackTimer(timedOut),
      };
      this.#pending.set(id, pending);
      this.#calls.add(node.epoch, id);
      try {
        send(id);
      } catch (error) {
        end();
        throw error;
      }
      if (timeoutMs > 0) this.#wheel.schedule(pending.timer, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Handles a node's answer. Returns whether it was expected. */
  answered(id: number, node: { readonly id: string; readonly epoch: string }, answer: NodeAnswer): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    const isAwaited = pending.awaited.delete(node.epoch);
    if (!isAwaited && !pending.isOpen) return false;
    pending.answered(node.id, answer);
    if (pending.awaited.size === 0) pending.done();
    return true;
  }

  /** Calls to a run that were sent, or last returned from here, at least this long ago. */
  callsToCheck(epoch: string, waitedMs: number): number[] {
    return this.#calls.takeDue(epoch, waitedMs);
  }

  /** Whether this node still awaits the node's answer to this request. */
  isAwaited(epoch: string, id: number): boolean {
    return this.#pending.get(id)?.awaited.has(epoch) === true;
  }

  /** A node doesn't have this call. If it had answered, the answer came first. */
  callUnknown(id: number, { epoch, id: nodeId }: NodeRun): void {
    const pending = this.#pending.get(id);
    if (pending?.awaited.delete(epoch) === true) pending.unknown(nodeId);
  }

  /** Stops waiting for a node that has left. */
  nodeLeft({ epoch, id }: NodeRun): void {
    for (const pending of [...this.#pending.values()]) {
      if (!pending.awaited.delete(epoch)) continue;
      pending.lost(id);
      if (pending.awaited.size === 0) pending.done();
    }
  }

  /** This node leaves: fails all pending requests. */
  stop(): void {
    for (const { awaited } of [...this.#pending.values()]) {
      for (const [epoch, id] of [...awaited]) this.nodeLeft({ epoch, id });
    }
  }

  #remove(id: number): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    this.#wheel.cancel(pending.timer);
  }
}

function nodeUnavailable(name: string, nodeId: string, why: string): ConduitError {
  const message = `'${name}' got no answer: node ${nodeId}, which has the connection, ${why}`;
  return new ConduitError(ErrorCode.NODE_UNAVAILABLE, message, { details: { node: nodeId } });
}
