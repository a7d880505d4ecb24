import type { FileStore } from "@netconduit/core";
import type { OpenServer, Subject } from "../../conformance/support/subject.ts";
import { markedBefore, readJournals } from "./journal.ts";
import { HEARTBEATS, PASSWORD, PATIENT_MS, type PeerOptions, type PeerReport, TOKEN } from "./peer-options.ts";
import { ReportedErrors } from "./reported-errors.ts";
import { type End, type Numbered, type Traffic, upTo } from "./traffic.ts";
import { CLIENTS, hasKills, type Workload } from "./workload.ts";

type OpenConnection = OpenServer["connections"][number];

/** Small, so that senders also wait for acknowledgements. */
const KEPT_BYTES = 256 * 1024;
const PUBLISHED_AT_ONCE = 20;

export class ServerSide {
  readonly #server: OpenServer;
  readonly #options: PeerOptions;
  readonly #workload: Workload;
  readonly #traffic: Traffic;
  readonly #errors: ReportedErrors;
  /** Connections by client name. */
  readonly #connections = new Map<string, OpenConnection>();
  readonly #begun = Promise.withResolvers<void>();
  readonly #parts: Promise<void>[] = [];
  #news: ReturnType<OpenServer["topic"]> | null = null;
  #expired = 0;
  /** Resolves when everything has been sent. */
  readonly sent: Promise<void>;

  constructor(
    { Server }: Pick<Subject, "Server">,
    options: PeerOptions,
    workload: Workload,
    traffic: Traffic,
    store: FileStore | null,
  ) {
    this.#options = options;
    this.#workload = workload;
    this.#traffic = traffic;
    const server: OpenServer = new Server({
      host: options.host,
      port: 0,
      password: PASSWORD,
      authenticate: { token: (token) => (token === TOKEN ? { name: "c1" } : null) },
      scramIterations: 4096,
      handleSignals: false,
      maxConnections: 1000,
      resume: { windowMs: PATIENT_MS, maxBytes: KEPT_BYTES, ...(store === null ? {} : { store, onceMs: PATIENT_MS }) },
      rpcTimeoutMs: PATIENT_MS,
      sendQueueSize: 4000,
      ...HEARTBEATS,
    });
    this.#server = server;
    this.#errors = new ReportedErrors(traffic);
    server.onError((error) => this.#errors.add(error));
    traffic.receiveAt({
      on: (type, handler) =>
        server.on(type, (_client, data, { delivery }) => handler(data as Numbered, delivery?.count ?? 1)),
      rpc: (name, handler) => server.rpc(name, (params) => handler(params as unknown as Numbered)),
    });
    server.rpc("begin", async ({ name }, { client }) => {
      this.#begin(name as string, client);
      // All clients must be connected, because each client's topic messages go to all.
      if (!hasKills(options.mode)) await this.#begun.promise;
    });
    server.rpc("bye", (_params, { client }) => client.call("bye"));
    if (!hasKills(options.mode)) this.#openStreams();
    server.onClientDisconnect((_connection, { code }) => {
      if (code !== 5010) this.#expired += 1;
    });
    this.sent = this.#begun.promise.then(async () => {
      if (!hasKills(options.mode)) this.#parts.push(this.#publish());
      await Promise.all(this.#parts);
    });
    this.sent.catch((error: unknown) => traffic.surprise("server", error));
  }

  async start(): Promise<number> {
    await this.#server.start();
    return this.#server.address.port;
  }

  #openStreams(): void {
    const server = this.#server;
    server.stream("give", function* ({ count }) {
      for (const id of upTo(count as number)) yield { id };
    });
    server.rpc({ name: "take", input: true }, async ({ lane }, { input }) => {
      for await (const item of input) this.#traffic.journal.got(lane as string, (item as { id: number }).id);
    });
    this.#news = server.topic("news");
    // A client with a full queue delays publishers; otherwise it would be disconnected as a slow consumer.
    let allowed = Promise.resolve(true);
    const publish = (): Promise<boolean> => {
      // Run sequentially to keep the order of published messages.
      allowed = allowed.then(() => this.#drained()).then(() => true);
      return allowed;
    };
    for (const name of CLIENTS) server.topic(`chat-of-${name}`, { publish });
  }

  #begin(name: string, connection: OpenConnection): void {
    const isFirst = !this.#connections.has(name);
    if (!isFirst && !hasKills(this.#options.mode)) {
      this.#traffic.surprise(name, "has begun a second time");
      return;
    }
    // The session of a killed client, and the messages in it, would otherwise wait for the client.
    void this.#connections.get(name)?.close("Its client has begun anew");
    this.#connections.set(name, connection);
    if (!isFirst) return;
    this.#parts.push(hasKills(this.#options.mode) ? this.#sendThroughKills(name) : this.#send(name, connection));
    if (this.#connections.size === CLIENTS.length) this.#begun.resolve();
  }

  async #send(name: string, connection: OpenConnection): Promise<void> {
    const end = connection as unknown as End;
    await Promise.all([this.#traffic.sendAll(end, `${name}<`), this.#ask(name, connection)]);
  }

  async #ask(name: string, connection: OpenConnection): Promise<void> {
    const count = this.#workload.items;
    for await (const item of connection.stream("give", { count })) {
      this.#traffic.journal.got(`${name}>asked`, (item as { id: number }).id);
    }
  }

  #sendThroughKills(name: string): Promise<void> {
    const journals = readJournals(this.#options.folder);
    return this.#traffic.sendThroughKills(
      () => this.#connections.get(name) as unknown as End,
      `${name}<`,
      false,
      (lane) => markedBefore(journals, "server", "acked", lane),
      (lane) => markedBefore(journals, "server", "sent", lane),
    );
  }

  async #publish(): Promise<void> {
    for (const id of upTo(this.#workload.published)) {
      this.#news?.publish({ id });
      if (id % PUBLISHED_AT_ONCE !== 0) continue;
      await this.#drained();
    }
  }

  async #drained(): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.drained()));
  }

  state(): object {
    return { connections: [...this.#connections].map(([name, { state }]) => `${name}: ${state}`) };
  }

  report(): PeerReport {
    const resumes = [...this.#connections.values()].reduce((sum, connection) => sum + connection.resumes, 0);
    const { surprises } = this.#traffic;
    return { surprises, resumes, replayed: 0, expired: this.#expired, errors: this.#errors.byCode };
  }

  async close(): Promise<void> {
    await this.#server.stop({ drainMs: 0 });
  }
}
