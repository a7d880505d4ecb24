/**
 * Operations on clients of all nodes: broadcasts, messages to a connection or user, counts and lists. Without the
 * option `cluster`, they apply to this server alone.
 */

import type { VerifiedUser } from "../auth/users.ts";
import type {
  Cluster,
  ClusterAnswer,
  ConnectionCount,
  ConnectionDescription,
  ConnectionPage,
  Revocation,
} from "../cluster/cluster.ts";
import { parseCluster } from "../cluster/cluster-config.ts";
import { ClusterNode } from "../cluster/cluster-node.ts";
import { ClusterStore } from "../cluster/cluster-store.ts";
import type { ClusterTopics } from "../cluster/cluster-topics.ts";
import { type ConnectionFilter, checkFilter, fitsFilter } from "../cluster/connection-filter.ts";
import { connectionIdIn } from "../cluster/connection-ids.ts";
import type { ClusterDriver } from "../cluster/driver.ts";
import type { Recipients } from "../cluster/local-node.ts";
import { NodePeer } from "../cluster/node-peer.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { type AckOptions, ackOptions, Pauses } from "../endpoint/acknowledged-send.ts";
import type { SendingOptions } from "../endpoint/call-options.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import { ConduitError, cancelledError, ErrorCode, withCallerStack } from "../errors.ts";
import type { ClientKinds } from "../rpc/client-kinds.ts";
import type { Contract } from "../rpc/contract.ts";
import { describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";
import { type BroadcastOptions, encodeShared, idSet, sendToSelected } from "./broadcast.ts";
import type { AnyConnection } from "./connection.ts";
import { sendToUser, type UserConnections } from "./send-to-user.ts";
import type { ServerConfig } from "./server-options.ts";
import type { SessionPlace } from "./stored-sessions.ts";
import { UserIndex } from "./user-index.ts";

type Protocol = ProtocolConnection<AnyConnection>;

/** The server of {@link ServerNodes}. */
export interface ServerNodesHost {
  readonly core: EndpointCore<AnyConnection>;
  readonly config: ServerConfig;
  /** Null if the contract has no kinds of clients. */
  readonly kinds: ClientKinds | null;
  /** The connections of logged-in clients, by id. */
  clients(): ReadonlyMap<string, Protocol>;
  /** The subscribers of a topic. */
  subscribers(topic: string): ReadonlySet<Protocol>;
  /** Adds or replaces a user on this node. @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, user: VerifiedUser): void;
  /** Closes a user's connections on this node. Returns their number. */
  revoke(user: string): number;
  /** Ends a session that another node takes over. Resolves with whether this node had it. */
  release(key: string): Promise<boolean>;
  /** A broadcast found a client's send queue full. */
  slowConsumer(protocol: Protocol): void;
}

/** Options of a list of connections. */
export interface ListOptions {
  /** Default: all. */
  readonly where?: ConnectionFilter | undefined;
  /** Maximum number of connections; 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
  /** `next` of the previous page. Default: the first page. */
  readonly after?: string | null | undefined;
}

const MAX_LIMIT = 1000;
const DEFAULT_LIMIT = 100;
const BROADCAST = new KnownOptions<BroadcastOptions<Contract, object>>("broadcast", {
  exclude: true,
  include: true,
  where: true,
  local: true,
});
const SEND = new KnownOptions<SendingOptions>("server.send", { meta: true, ack: true });
const COUNT = new KnownOptions<{ where: ConnectionFilter }>("server.count", { where: true });
const LIST = new KnownOptions<ListOptions>("server.listConnections", { where: true, limit: true, after: true });
/** The answer of a single node. */
const HERE_ALONE = { missing: [], isAlone: false } as const;

export class ServerNodes {
  readonly #host: ServerNodesHost;
  readonly #users: UserIndex;
  /** Clients registered with the cluster; null without one. */
  readonly #known: Set<Protocol> | null;
  readonly node: ClusterNode | null;
  readonly #pauses = new Pauses();

  /** @throws ConduitError INVALID_CONFIG */
  constructor(cluster: ClusterDriver | undefined, host: ServerNodesHost) {
    this.#host = host;
    this.#users = new UserIndex(() => host.clients().values());
    this.#known = cluster === undefined ? null : new Set();
    const store = host.config.resume?.store;
    if (cluster === undefined) {
      if (store instanceof ClusterStore) {
        throw new ConduitError(ErrorCode.INVALID_CONFIG, "clusterStore() needs the server's option cluster");
      }
      this.node = null;
      return;
    }
    const { core } = host;
    const { driver, config } = parseCluster(cluster);
    const node = new ClusterNode(driver, config, {
      context: core.runtimeContext,
      writer: core.writer,
      reader: core.reader,
      get connectionCount() {
        return host.clients().size;
      },
      connection: (id) => openConnection(host.clients().get(id))?.peer._outgoing,
      broadcast: (type, data, recipients) => this.#broadcastHere(type, data, recipients),
      count: (where) => this.#countHere(where),
      describe: (where, after, limit) => this.#describeHere(where, after, limit),
      setUser: (name, user) => host.setUser(name, user),
      revoke: (user) => host.revoke(user),
      release: (key) => host.release(key),
      report: (error, count = 1) => core.report(error, { stage: "cluster", ...(count === 1 ? {} : { count }) }),
      hookFailed: (name, error) => core.hookFailed(name, error),
    });
    this.node = node;
    if (store instanceof ClusterStore) {
      store.bind({ records: () => node.records(), wallClock: () => core.runtimeContext.runtime.wallClock() });
    }
  }

  /** Null without the option `cluster`. */
  get cluster(): Cluster | null {
    return this.node;
  }

  get topics(): ClusterTopics | null {
    return this.node?.topics ?? null;
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /** Connects to the other nodes, then listens. */
  async start<T>(listen: () => Promise<T>): Promise<T> {
    if (this.node === null) return listen();
    await this.node.start();
    try {
      return await listen();
    } catch (error) {
      await this.node.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.node?.stop();
    this.#pauses.end();
  }

  /** An id for a new connection; null if any UUID will do. */
  connectionId(): string | null {
    return this.node === null ? null : connectionIdIn(this.node.epoch);
  }

  /** A client has logged in. */
  clientAdmitted(protocol: Protocol): void {
    this.#users.add(protocol);
    if (this.#known === null) return;
    this.#known.add(protocol);
    this.node?.users.add(protocol.peer.user.name);
  }

  /** A client's connection is closing or has ended. */
  clientEnded(protocol: Protocol): void {
    this.#users.delete(protocol);
    if (this.#known?.delete(protocol) === true) this.node?.users.delete(protocol.peer.user.name);
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /**
   * Returns the number of this node's clients that the message was queued for.
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE, INVALID_CONFIG
   */
  broadcast<C extends Contract, D extends object>(
    type: string,
    data: unknown,
    options: BroadcastOptions<C, D>,
  ): number {
    try {
      return this.#broadcast(type, data, options);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  #broadcast<C extends Contract, D extends object>(
    type: string,
    data: unknown,
    options: BroadcastOptions<C, D>,
  ): number {
    BROADCAST.check(options, type);
    const { where, exclude, include, local = false } = options;
    const isPredicate = typeof where === "function";
    const isForOthers = this.node !== null && !local;
    if (isPredicate && isForOthers) {
      const message =
        "A function as the option where can't run on the other nodes: use { user, role, topic }, or local: true";
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    if (isPredicate) {
      const select = { exclude, include, where: where as (connection: AnyConnection) => boolean };
      return this.#sendHere(type, data, this.#host.clients(), select);
    }
    const filter = where === undefined ? null : checkFilter(where, "broadcast");
    const recipients = { exclude: idSet("exclude", exclude), include: idSet("include", include), where: filter };
    if (!isForOthers) return this.#broadcastHere(type, data, recipients);
    // Encoded once for local clients and other nodes.
    const encoded = this.#host.core.writer.encodeData(type, data);
    this.node?.mustFit(type, encoded.bytes);
    const reached = this.#broadcastHere(type, encoded, recipients);
    this.node?.broadcast(type, encoded, recipients);
    return reached;
  }

  /** Returns the number of this node's connections that the message was queued for. */
  send(
    to: string | { readonly user: string },
    type: string,
    data: unknown,
    options: SendingOptions | undefined,
  ): number | Promise<void> {
    SEND.check(options, to);
    if (options?.ack !== undefined) return this.#sendAcknowledged(to, type, data, { ...options, ack: options.ack });
    if (typeof to === "string") {
      const peer = this.peer(to);
      const isHere = peer.isLocal;
      peer.send(type, data, options ?? {});
      return isHere ? 1 : 0;
    }
    if (options?.meta !== undefined) {
      const message = `Cannot send '${type}' to a user with meta: it goes as a broadcast, which carries none; use peer(id).send`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    return this.broadcast(type, data, { where: this.#recipientsOf(to, type) });
  }

  /** The user's connections that support a message. @throws ConduitError INVALID_CONFIG */
  #recipientsOf(to: { readonly user: string }, type: string): ConnectionFilter & { readonly user: string } {
    if (typeof to?.user !== "string") {
      const message = `Cannot send '${type}': the recipient must be the id of a connection or { user }, got ${describeValue(to)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    const kinds = this.#host.kinds?.ofMessage(type);
    return { user: to.user, ...(kinds === undefined ? {} : { role: kinds }) };
  }

  async #sendAcknowledged(
    to: string | { readonly user: string },
    type: string,
    data: unknown,
    options: SendingOptions & { readonly ack: true | AckOptions },
  ): Promise<void> {
    try {
      const { stored, signal } = ackOptions(type, options.ack);
      if (typeof to === "string") return await this.peer(to).send(type, data, options);
      const where = this.#recipientsOf(to, type);
      if (stored === true) {
        const message = `Cannot send '${type}' to a user with ack.stored: that is for a connection of this server`;
        throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
      }
      // Encoded now, so that later changes aren't sent.
      const value = this.#host.core.writer.encodeData(type, data);
      const recipients = await this.#connectionsOf(where);
      if (signal?.aborted === true) throw cancelledError(type, signal.reason);
      await sendToUser(type, recipients, (id) => this.peer(id).send(type, value, options));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  async #connectionsOf(where: ConnectionFilter & { readonly user: string }): Promise<UserConnections> {
    const { user } = where;
    if (this.node !== null) return { user, ...(await this.node.questions.connectionIds(where)) };
    const ids = Array.from(this.#candidates(where))
      .filter((protocol) => this.#fits(protocol, where))
      .map(({ peer }) => peer.id);
    return { user, ids, ...HERE_ALONE };
  }

  peer<C extends Contract>(id: string): NodePeer<C> {
    const { core, config, clients } = this.#host;
    return new NodePeer<C>(
      {
        context: core.runtimeContext,
        writer: core.writer,
        rpcTimeoutMs: config.rpcTimeoutMs,
        cluster: this.node,
        connection: (known) => openConnection(clients().get(known))?.peer._outgoing,
        pauses: this.#pauses,
      },
      id,
    );
  }

  // --- asking -------------------------------------------------------------------------------------------------------

  async count(options: { readonly where?: ConnectionFilter | undefined }): Promise<ConnectionCount> {
    COUNT.check(options);
    const { where } = options;
    const filter = where === undefined ? null : checkFilter(where, "count");
    const here = this.#countHere(filter);
    if (this.node === null) return { count: here, ...HERE_ALONE };
    const params = filter === null ? {} : { where: filter };
    const { answers, missing, isAlone } = await this.node.questions.askAll("count", params);
    return { count: here + sumOf(answers), missing, isAlone };
  }

  async list(options: ListOptions): Promise<ConnectionPage> {
    LIST.check(options);
    const { where, limit = DEFAULT_LIMIT, after } = options;
    const filter = where === undefined ? null : checkFilter(where, "listConnections");
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      const rule = `must be an integer from 1 to ${MAX_LIMIT}, got ${describeValue(limit)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid option limit of listConnections: ${rule}`);
    }
    if (this.node !== null) return this.node.questions.page(filter, limit, after ?? "");
    const connections = this.#describeHere(filter, (after ?? "").slice(1), limit);
    const last = connections.at(-1);
    return {
      connections,
      next: connections.length < limit || last === undefined ? null : `/${last.id}`,
      ...HERE_ALONE,
    };
  }

  /** @throws ConduitError INVALID_CONFIG, INVALID_STATE, UNSERIALIZABLE, MESSAGE_TOO_LARGE */
  async setUser(name: string, user: VerifiedUser): Promise<ClusterAnswer> {
    // Checked before anything changes on this node.
    this.node?.mustFit(name, this.#host.core.writer.encodeData(name, user).bytes);
    this.#host.setUser(name, user);
    if (this.node === null) return HERE_ALONE;
    const { missing, isAlone } = await this.node.questions.setUser(name, user);
    return { missing, isAlone };
  }

  async revoke(user: string): Promise<Revocation> {
    const here = this.#host.revoke(user);
    if (this.node === null) return { connections: here, ...HERE_ALONE };
    const { answers, missing, isAlone } = await this.node.questions.revoke(user);
    return { connections: here + sumOf(answers), missing, isAlone };
  }

  /** This node and its run; null without a cluster. */
  get place(): SessionPlace | null {
    return this.node === null ? null : { id: this.node.nodeId, epoch: this.node.epoch };
  }

  /** Ends a session on another node. Resolves with whether it was there; false if there is no answer within `timeoutMs`. */
  async releaseFrom(place: SessionPlace, key: string, timeoutMs: number): Promise<boolean> {
    return (await this.node?.questions.release(place, key, timeoutMs)) ?? false;
  }

  // --- here ---------------------------------------------------------------------------------------------------------

  #broadcastHere(type: string, data: unknown, { exclude, include, where }: Recipients): number {
    const ids = { exclude: exclude ?? undefined, include: include ?? undefined };
    if (where === null) return this.#sendHere(type, data, this.#host.clients(), ids);
    const fits = new Map<string, Protocol>();
    for (const protocol of this.#candidates(where)) {
      if (this.#fits(protocol, where)) fits.set(protocol.peer.id, protocol);
    }
    return fits.size === 0 ? 0 : this.#sendHere(type, data, fits, ids, false);
  }

  #sendHere(
    type: string,
    data: unknown,
    among: ReadonlyMap<string, Protocol>,
    select: Parameters<typeof sendToSelected>[2],
    areAll = true,
  ): number {
    const { core, config } = this.#host;
    const message = encodeShared(core.runtimeContext, config, type, data);
    // A broadcast to some clients can't use the shared frame of a broadcast to all.
    const where = areAll ? select.where : () => true;
    return sendToSelected(among, message, { ...select, where }, (protocol) => this.#host.slowConsumer(protocol));
  }

  #countHere(where: ConnectionFilter | null): number {
    if (where === null) return this.#host.clients().size;
    let count = 0;
    for (const protocol of this.#candidates(where)) if (this.#fits(protocol, where)) count += 1;
    return count;
  }

  #describeHere(where: ConnectionFilter | null, after: string, limit: number): ConnectionDescription[] {
    const first: Protocol[] = [];
    for (const protocol of where === null ? this.#host.clients().values() : this.#candidates(where)) {
      const { id } = protocol.peer;
      if (id <= after || (first.length === limit && id >= (first.at(-1) as Protocol).peer.id)) continue;
      if (where !== null && !this.#fits(protocol, where)) continue;
      const at = first.findIndex(({ peer }) => peer.id > id);
      first.splice(at < 0 ? first.length : at, 0, protocol);
      if (first.length > limit) first.pop();
    }
    return first.map(({ peer }) => this.#describe(peer));
  }

  #describe(connection: AnyConnection): ConnectionDescription {
    const { id, user, session, remoteAddress } = connection;
    return {
      id,
      node: this.node?.nodeId ?? "",
      user: user.name,
      roles: user.roles,
      connectedAt: session.createdAt,
      address: remoteAddress,
    };
  }

  /** Candidates for a filter: all connections only if it names neither users nor topics. */
  *#candidates({ user, topic }: ConnectionFilter): Iterable<Protocol> {
    if (user !== undefined) {
      for (const name of new Set(typeof user === "string" ? [user] : user)) yield* this.#users.of(name);
    } else if (typeof topic === "string") {
      yield* this.#host.subscribers(topic);
    } else {
      yield* this.#host.clients().values();
    }
  }

  #fits(protocol: Protocol, where: ConnectionFilter): boolean {
    const isSubscribed = (topic: string): boolean => this.#host.subscribers(topic).has(protocol);
    return fitsFilter({ user: protocol.peer.user, isSubscribed }, where);
  }
}

/** The connection, if messages can be sent to it. */
function openConnection(protocol: Protocol | undefined): Protocol | undefined {
  return protocol?.isOpen === true ? protocol : undefined;
}

function sumOf(answers: ReadonlyMap<string, unknown>): number {
  let sum = 0;
  for (const answer of answers.values()) if (Number.isSafeInteger(answer)) sum += answer as number;
  return sum;
}
