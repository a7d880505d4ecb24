/** Sends questions to other nodes about their connections, and answers theirs. */

import type { VerifiedUser } from "../auth/users.ts";
import { asConduitError, ConduitError, ErrorCode } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import type { ClusterAnswer, ConnectionDescription, ConnectionPage } from "./cluster.ts";
import { type ConnectionFilter, readFilter } from "./connection-filter.ts";
import type { ClusterAddress, PublishResult } from "./driver.ts";
import { EnvelopeKind } from "./envelope.ts";
import type { LocalNode } from "./local-node.ts";
import type { Node } from "./membership.ts";
import { type MissedUserChange, MissedUserChanges } from "./missed-user-changes.ts";
import type { NodeCalls } from "./node-calls.ts";
import type { NodeAnswer, NodeAnswers, NodeRequests, NodeRun } from "./node-requests.ts";
import { type ChangeTime, UserChanges } from "./user-changes.ts";

/** The node of {@link NodeQuestions}. */
export interface NodeQuestionsHost {
  readonly local: LocalNode;
  readonly requests: NodeRequests;
  readonly answerTimeoutMs: number;
  readonly nodeTimeoutMs: number;
  readonly calls: NodeCalls;
  readonly nodeId: string;
  /** Milliseconds until all live nodes should be known to this one; 0 or less if that time has passed. */
  readonly meetingMs: number;
  /** Whether the link is down. */
  readonly isAlone: boolean;
  /** The other nodes, by id. */
  nodes(): ReadonlyMap<string, Node>;
  /** Nodes that timed out recently, and may be alive but unreachable. */
  lost(): readonly Node[];
  publish(address: ClusterAddress, kind: EnvelopeKind, head: Readonly<Record<string, unknown>>): PublishResult;
}

const MAX_PAGE = 1000;
/** Calls in one question, so that it and its answer fit into the smallest `maxMessageBytes`. */
const MAX_CALLS = 64;
/** User changes sent to a node at one heartbeat. */
const MAX_USER_CHANGES = 1000;
const ALL: ClusterAddress = { kind: "all", name: "" };

export class NodeQuestions {
  readonly #host: NodeQuestionsHost;
  readonly #userChanges: UserChanges;
  readonly #missedUserChanges = new MissedUserChanges();

  constructor(host: NodeQuestionsHost) {
    this.#host = host;
    this.#userChanges = new UserChanges({
      get nodeId() {
        return host.nodeId;
      },
      wallClock: () => host.local.context.runtime.wallClock(),
      setUser: (name, user) => host.local.setUser(name, user),
      revoke: (name) => host.local.revoke(name),
    });
  }

  /** Asks all other nodes. */
  async askAll(question: string, params: Readonly<Record<string, unknown>>): Promise<NodeAnswers & ClusterAnswer> {
    const nodes = [...this.#host.nodes().values()];
    const send = (id: number): boolean =>
      this.#host.publish(ALL, EnvelopeKind.QUESTION, { id, question, params }) === "sent";
    const { answers, missing, failed } = await this.#host.requests.ask(nodes, this.#host.answerTimeoutMs, send);
    return { answers, failed, missing: this.#withLost(missing, answers), isAlone: this.#host.isAlone };
  }

  #withLost(missing: readonly string[], answers: ReadonlyMap<string, unknown>): string[] {
    const lost = this.#host.lost().map(({ id }) => id);
    return [...new Set([...missing, ...lost.filter((id) => !answers.has(id))])];
  }

  /** Revokes a user on all other nodes. Repeated for nodes that don't answer, while they are alive or once they return. */
  revoke(user: string): Promise<NodeAnswers & ClusterAnswer> {
    return this.#changeUser(user, null);
  }

  /** Sets a user on all other nodes. Repeated for nodes that don't answer, while they are alive or once they return. */
  setUser(user: string, set: VerifiedUser): Promise<NodeAnswers & ClusterAnswer> {
    return this.#changeUser(user, set);
  }

  async #changeUser(user: string, set: VerifiedUser | null): Promise<NodeAnswers & ClusterAnswer> {
    const missed = this.#missedUserChanges;
    const at = this.#userChanges.record(user, set);
    const asked = [...this.#host.nodes().values(), ...this.#host.lost()];
    // Unconfirmed revocations go first, so that they don't close connections that this change admits.
    const first = new Map<string, Promise<boolean>>();
    for (const node of asked) {
      const revokedAt = set === null ? null : missed.revokedAt(node.epoch, user);
      if (revokedAt !== null) first.set(node.epoch, this.#askForUserChange(node, user, null, revokedAt));
    }
    const epochs = asked.map(({ epoch }) => epoch);
    const number = missed.add(user, set, at, epochs);
    const { question, params } = userQuestion(user, set, at);
    const result = await this.askAll(question, params);
    for (const { id, epoch } of asked) {
      const isTold = result.answers.has(id) || result.failed.has(id);
      if (isTold && (await (first.get(epoch) ?? true))) missed.confirmed(epoch, user, number);
      else missed.unanswered(epoch, user, number);
    }
    return result;
  }

  /** A node has returned with the same run, or may have missed messages: sends it all unconfirmed changes. */
  nodeReturned(node: Node): void {
    this.#sendUserChanges(node, true);
  }

  /** Repeats changes that the node hasn't confirmed in time. */
  heartbeatReceived(node: NodeRun): void {
    this.#sendUserChanges(node, false);
  }

  /** A run of a node has ended. */
  runEnded({ epoch }: NodeRun): void {
    this.#missedUserChanges.forget(epoch);
  }

  #sendUserChanges(node: NodeRun, all: boolean): void {
    for (const change of this.#missedUserChanges.take(node.epoch, MAX_USER_CHANGES, all)) {
      // Changes that can't be encoded were rejected when they were made.
      this.#sendUserChange(node, change).catch((error: unknown) => this.#host.local.report(error));
    }
  }

  async #sendUserChange(node: NodeRun, { user, revokedAt, set, at, number }: MissedUserChange): Promise<void> {
    const missed = this.#missedUserChanges;
    const confirmations: Promise<boolean>[] = [];
    if (revokedAt !== null) confirmations.push(this.#askForUserChange(node, user, null, revokedAt));
    if (set !== null) confirmations.push(this.#askForUserChange(node, user, set, at));
    if ((await Promise.all(confirmations)).every((isConfirmed) => isConfirmed))
      missed.confirmed(node.epoch, user, number);
    else missed.unanswered(node.epoch, user, number);
  }

  /** Changes a user on one node. Resolves with whether the node has answered. */
  async #askForUserChange(node: NodeRun, user: string, set: VerifiedUser | null, at: ChangeTime): Promise<boolean> {
    const { requests, answerTimeoutMs } = this.#host;
    const { answers, failed } = await requests.ask([node], answerTimeoutMs, (id) => {
      const head = { id, ...userQuestion(user, set, at) };
      return this.#host.publish({ kind: "node", name: node.id }, EnvelopeKind.QUESTION, head) === "sent";
    });
    // Don't repeat a change that the node rejects.
    return answers.has(node.id) || failed.has(node.id);
  }

  /**
   * Ends a session on the node that has it. Resolves with whether it was there; false if the node has left or doesn't
   * answer in time.
   */
  async release({ id, epoch }: NodeRun, session: string, timeoutMs: number): Promise<boolean> {
    const { answerTimeoutMs, meetingMs, nodeId } = this.#host;
    const isKnown = this.#host.nodes().get(id)?.epoch === epoch;
    // Runs that stayed silent after all nodes should be known have ended, as have earlier runs of this node.
    if (!isKnown && (meetingMs <= 0 || id === nodeId)) return false;
    const limitMs = Math.min(timeoutMs, answerTimeoutMs, isKnown ? answerTimeoutMs : Math.ceil(meetingMs));
    const { answers } = await this.#host.requests.ask([{ id, epoch }], limitMs, (request) => {
      const head = { id: request, question: "release", params: { session } };
      return this.#host.publish({ kind: "node", name: id }, EnvelopeKind.QUESTION, head) === "sent";
    });
    return answers.get(id) === true;
  }

  /**
   * On a node's heartbeat, asks whether it still runs the calls that it hasn't answered for a long time, and whether
   * it still awaits its own calls that have been running here for a long time. Messages about them may have been
   * lost.
   */
  checkCalls(node: NodeRun): void {
    const { requests, calls, nodeTimeoutMs } = this.#host;
    const unanswered = requests.callsToCheck(node.epoch, nodeTimeoutMs);
    this.#checkCalls(node, "unknown-calls", unanswered, (id) => requests.callUnknown(id, node));
    const running = calls.callsToCheck(node.epoch, nodeTimeoutMs);
    this.#checkCalls(node, "unwanted-calls", running, (id) => calls.cancel(node, id));
  }

  /** @param found called with each call that the node names */
  #checkCalls(node: NodeRun, question: string, calls: readonly number[], found: (id: number) => void): void {
    for (let from = 0; from < calls.length; from += MAX_CALLS) {
      void this.#checkSomeCalls(node, question, calls.slice(from, from + MAX_CALLS), found);
    }
  }

  async #checkSomeCalls(
    node: NodeRun,
    question: string,
    calls: readonly number[],
    found: (id: number) => void,
  ): Promise<void> {
    const { requests, answerTimeoutMs } = this.#host;
    const { answers } = await requests.ask([node], answerTimeoutMs, (id) => {
      const head = { id, question, params: { calls } };
      return this.#host.publish({ kind: "node", name: node.id }, EnvelopeKind.QUESTION, head) === "sent";
    });
    const named = answers.get(node.id);
    if (Array.isArray(named)) for (const id of named) found(id);
  }

  /** A page of connections, ordered by node id and connection id. */
  async page(where: ConnectionFilter | null, limit: number, after: string): Promise<ConnectionPage> {
    const [afterNode, afterConnection] = readCursor(after);
    const nodes = [this.#host.nodeId, ...this.#host.nodes().keys()].sort();
    const missing: string[] = [];
    const connections: ConnectionDescription[] = [];
    for (const id of nodes) {
      if (id < afterNode) continue;
      if (connections.length === limit) break;
      const from = id === afterNode ? afterConnection : "";
      const part = await this.#describe(id, where, from, limit - connections.length);
      if (part === null) missing.push(id);
      else connections.push(...part);
    }
    const last = connections.at(-1);
    const next = connections.length < limit || last === undefined ? null : `${last.node}/${last.id}`;
    const lost = next === null ? this.#withLost(missing, new Map()) : missing;
    return { connections, next, missing: lost, isAlone: this.#host.isAlone };
  }

  /** The ids of all connections that fit the filter. Asks all nodes at once. */
  async connectionIds(where: ConnectionFilter): Promise<ClusterAnswer & { readonly ids: readonly string[] }> {
    const nodes = [this.#host.nodeId, ...this.#host.nodes().keys()];
    const missing: string[] = [];
    const idsOf = async (nodeId: string): Promise<string[]> => {
      const ids: string[] = [];
      for (;;) {
        const part = await this.#describe(nodeId, where, ids.at(-1) ?? "", MAX_PAGE);
        if (part === null) missing.push(nodeId);
        for (const { id } of part ?? []) ids.push(id);
        if (part === null || part.length < MAX_PAGE) return ids;
      }
    };
    const ids = (await Promise.all(nodes.map(idsOf))).flat();
    return { ids, missing: this.#withLost(missing, new Map()), isAlone: this.#host.isAlone };
  }

  /** Resolves with null if the node doesn't answer. */
  async #describe(
    nodeId: string,
    where: ConnectionFilter | null,
    after: string,
    limit: number,
  ): Promise<ConnectionDescription[] | null> {
    if (nodeId === this.#host.nodeId) return this.#host.local.describe(where, after, limit);
    const node = this.#host.nodes().get(nodeId);
    if (node === undefined) return [];
    const params = { where, after, limit };
    const { answers } = await this.#host.requests.ask([node], this.#host.answerTimeoutMs, (id) => {
      const address = { kind: "node", name: nodeId } as const;
      return this.#host.publish(address, EnvelopeKind.QUESTION, { id, question: "connections", params }) === "sent";
    });
    const answer = answers.get(nodeId);
    if (!Array.isArray(answer)) return null;
    return answer.filter(isMap).map((one) => descriptionOf(one, nodeId));
  }

  /** Answers another node's question. */
  async answerTo({ epoch }: NodeRun, question: string, params: unknown): Promise<NodeAnswer> {
    const given = isMap(params) ? params : {};
    try {
      switch (question) {
        case "count":
          return { value: this.#host.local.count(readFilter(given["where"])) };
        case "connections": {
          const { after, limit } = given;
          const size = Number.isSafeInteger(limit) ? Math.min(limit as number, MAX_PAGE) : MAX_PAGE;
          const from = typeof after === "string" ? after : "";
          return { value: this.#host.local.describe(readFilter(given["where"]), from, size) };
        }
        case "set-user": {
          const { user, set, at } = given;
          this.#userChanges.set(user as string, set as VerifiedUser, this.#userChanges.readTime(at));
          return { value: true };
        }
        case "revoke": {
          const { user, at } = given;
          const isName = typeof user === "string";
          return { value: isName ? this.#userChanges.revoke(user, this.#userChanges.readTime(at)) : 0 };
        }
        case "unknown-calls":
          return { value: callsIn(given).filter((id) => !this.#host.calls.isRunning(epoch, id)) };
        case "unwanted-calls":
          return { value: callsIn(given).filter((id) => !this.#host.requests.isAwaited(epoch, id)) };
        case "release": {
          const { session } = given;
          return { value: typeof session === "string" && (await this.#host.local.release(session)) };
        }
        default:
          throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, `This node doesn't know the question '${question}'`);
      }
    } catch (error) {
      return { error: asConduitError(error) };
    }
  }
}

function userQuestion(user: string, set: VerifiedUser | null, { ms, node }: ChangeTime) {
  const at = [ms, node];
  return set === null
    ? { question: "revoke", params: { user, at } }
    : { question: "set-user", params: { user, set, at } };
}

function callsIn({ calls }: Record<string, unknown>): number[] {
  return Array.isArray(calls) ? calls : [];
}

function readCursor(after: string): readonly [node: string, connection: string] {
  const slash = after.indexOf("/");
  return slash < 0 ? ["", ""] : [after.slice(0, slash), after.slice(slash + 1)];
}

function descriptionOf(map: Record<string, unknown>, node: string): ConnectionDescription {
  const { id, user, roles, connectedAt, address } = map;
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return {
    id: text(id),
    node,
    user: text(user),
    roles: Array.isArray(roles) ? roles.filter((role) => typeof role === "string") : [],
    connectedAt: typeof connectedAt === "number" ? connectedAt : 0,
    address: text(address),
  };
}
