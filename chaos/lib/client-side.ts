import { setTimeout as sleep } from "node:timers/promises";
import type { OpenClient, Subject } from "../../conformance/support/subject.ts";
import { markedBefore, readJournals } from "./journal.ts";
import {
  HEARTBEATS,
  LOOPBACK,
  PASSWORD,
  PATIENT_MS,
  type PeerOptions,
  type PeerReport,
  TOKEN,
} from "./peer-options.ts";
import { ReportedErrors } from "./reported-errors.ts";
import { type End, type Numbered, type Traffic, upTo } from "./traffic.ts";
import { CLIENTS, hasKills, hasStore, type Workload } from "./workload.ts";

/** Large enough for all published messages: none is dropped here, so a missing one was lost. */
const BUFFER = 100_000_000;
const PUBLISHED_AT_ONCE = 8;
const AGAIN_MS = 20;

type OpenSubscription = ReturnType<OpenClient["subscribe"]>;

export class ClientSide {
  readonly #clients: ReadonlyMap<string, OpenClient>;
  readonly #options: PeerOptions;
  readonly #workload: Workload;
  readonly #traffic: Traffic;
  readonly #errors: ReportedErrors;
  readonly #subscriptions: OpenSubscription[] = [];
  readonly #counts = { resumes: 0, replayed: 0, expired: 0 };
  readonly #sent = Promise.withResolvers<void>();
  /** Resolves when everything has been sent. */
  readonly sent: Promise<void> = this.#sent.promise;

  constructor({ Client }: Pick<Subject, "Client">, options: PeerOptions, workload: Workload, traffic: Traffic) {
    this.#options = options;
    this.#workload = workload;
    this.#traffic = traffic;
    this.#errors = new ReportedErrors(traffic);
    const { host, port } = options;
    this.#clients = new Map(
      CLIENTS.map((name) => {
        const client: OpenClient = new Client({
          host,
          port,
          name,
          // Tokens are only sent over the loopback address.
          ...(name === "c1" && host === LOOPBACK ? { credentials: { token: TOKEN } } : { password: PASSWORD }),
          reconnect: { delayMs: 5, maxDelayMs: 40 },
          connectTimeoutMs: 8000,
          resume: true,
          rpcTimeoutMs: PATIENT_MS,
          ...HEARTBEATS,
        });
        this.#prepare(name, client);
        return [name, client];
      }),
    );
  }

  #prepare(name: string, client: OpenClient): void {
    this.#traffic.receiveAt({
      on: (type, handler) => client.on(type, (data, { delivery }) => handler(data as Numbered, delivery?.count ?? 1)),
      rpc: (name, handler) => client.rpc(name, (params) => handler(params as unknown as Numbered)),
    });
    client.rpc("bye", () => null);
    client.stream("give", function* ({ count }) {
      for (const id of upTo(count as number)) yield { id };
    });
    client.onError((error) => this.#errors.add(error));
    client.onResume(({ replayed }) => {
      this.#counts.resumes += 1;
      this.#counts.replayed += replayed;
    });
    client.onSessionExpired(({ reason }) => {
      this.#counts.expired += 1;
      if (!hasKills(this.#options.mode)) this.#traffic.surprise(`${name}, session`, reason);
    });
    if (hasKills(this.#options.mode)) {
      // If the connection is lost during the call, the next connection calls `begin` again.
      client.onReconnect(() => client.call("begin", { name }).catch(() => undefined));
    }
  }

  start(): number {
    void this.#run().then(
      () => this.#sent.resolve(),
      (error: unknown) => this.#traffic.surprise("client", error),
    );
    return 0;
  }

  async #run(): Promise<void> {
    await Promise.all(
      [...this.#clients].map(async ([name, client]) => {
        await this.#connect(client);
        if (hasKills(this.#options.mode)) await this.#sendThroughKills(name, client);
        else await this.#send(name, client);
      }),
    );
  }

  /** Retries the first connection attempt, which the client itself doesn't. */
  async #connect(client: OpenClient): Promise<void> {
    for (;;) {
      try {
        await client.connect();
        return;
      } catch (error) {
        this.#errors.add(error);
        await sleep(AGAIN_MS);
      }
    }
  }

  async #send(name: string, client: OpenClient): Promise<void> {
    for (const topic of ["news", ...CLIENTS.map((from) => `chat-of-${from}`)]) {
      const subscription = client.subscribe(topic, { buffer: BUFFER });
      this.#subscriptions.push(subscription);
      await subscription.ready;
      void this.#follow(`${name}<${topic}`, subscription);
    }
    await client.call("begin", { name });
    const { items } = this.#workload;
    const input = (function* () {
      for (const id of upTo(items)) yield { id };
    })();
    await Promise.all([
      this.#traffic.sendAll(client as unknown as End, `${name}>`),
      client.call("take", { lane: `${name}>input` }, { input }),
      this.#take(name, client),
      this.#publish(name, client),
    ]);
  }

  async #take(name: string, client: OpenClient): Promise<void> {
    const count = this.#workload.items;
    for await (const item of client.stream("give", { count })) {
      this.#traffic.journal.got(`${name}<output`, (item as { id: number }).id);
    }
  }

  async #follow(lane: string, subscription: OpenSubscription): Promise<void> {
    try {
      for await (const message of subscription) this.#traffic.journal.got(lane, (message as { id: number }).id);
    } catch (error) {
      this.#traffic.surprise(lane, error);
    }
  }

  async #publish(name: string, client: OpenClient): Promise<void> {
    let underWay: Promise<void>[] = [];
    for (const id of upTo(this.#workload.published)) {
      underWay.push(client.publish(`chat-of-${name}`, { id }));
      if (underWay.length < PUBLISHED_AT_ONCE) continue;
      await Promise.all(underWay);
      underWay = [];
    }
    await Promise.all(underWay);
  }

  async #sendThroughKills(name: string, client: OpenClient): Promise<void> {
    client.call("begin", { name }).catch(() => undefined);
    const journals = readJournals(this.#options.folder);
    await this.#traffic.sendThroughKills(
      () => client as unknown as End,
      `${name}>`,
      hasStore(this.#options.mode),
      (lane) => markedBefore(journals, "client", "acked", lane),
      (lane) => markedBefore(journals, "client", "sent", lane),
    );
  }

  state(): object {
    return { clients: [...this.#clients].map(([name, client]) => `${name}: ${JSON.stringify(client.health())}`) };
  }

  /** Resolves when everything sent so far has been handled, in both directions. */
  async finish(): Promise<void> {
    for (const client of this.#clients.values()) await client.call("bye");
    for (const { topic, dropped } of this.#subscriptions) {
      if (dropped > 0) this.#traffic.surprise(topic, `${dropped} messages were dropped`);
    }
  }

  report(): PeerReport {
    return { surprises: this.#traffic.surprises, ...this.#counts, errors: this.#errors.byCode };
  }

  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.close();
    await Promise.all([...this.#clients.values()].map((client) => client.disconnect()));
  }
}
