import type {
  ClusterAddress,
  ClusterHost,
  ClusterLink,
  ClusterState,
  ClusterSubscription,
  ConduitError,
  LogPlace,
  LogReader,
} from "@netconduit/core";
import { EventLog } from "@netconduit/core/testing";
import { type NatsClusterOptions, natsCluster } from "@netconduit/nats";
import { afterEach, describe } from "vitest";
import { NatsProcess, type NatsProcessOptions } from "../../scripts/lib/nats-process.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { Cleanups } from "../support/cleanups.ts";
import { Relay } from "../support/relay.ts";

/** Describes tests, each with its own scene. */
export function describeScenes(title: string, nats: NatsInstallation, body: (scene: () => NatsScene) => void): void {
  describe(title, { timeout: 120_000 }, () => {
    let scene = new NatsScene(nats);
    afterEach(async () => {
      await scene.dispose();
      scene = new NatsScene(nats);
    });
    body(() => scene);
  });
}

/** NATS servers and nodes' links, which are closed after the test. */
export class NatsScene {
  readonly #nats: NatsInstallation;
  readonly #cleanups = new Cleanups();

  constructor(nats: NatsInstallation) {
    this.#nats = nats;
  }

  async server(options: NatsProcessOptions = {}): Promise<NatsProcess> {
    const server = await NatsProcess.start(this.#nats, options);
    this.#cleanups.defer(() => server[Symbol.asyncDispose]());
    return server;
  }

  async cluster(count: number): Promise<NatsProcess[]> {
    const servers = await NatsProcess.startCluster(this.#nats, count);
    for (const server of servers) this.#cleanups.defer(() => server[Symbol.asyncDispose]());
    return servers;
  }

  async relay({ port }: NatsProcess): Promise<Relay> {
    const relay = new Relay(port);
    await relay.start();
    this.#cleanups.defer(() => relay.kill());
    return relay;
  }

  /** Starts a node's link. It considers no server stalled, unless the test passes a shorter `pingIntervalMs`. */
  async node(nodeId: string, options: Partial<NatsClusterOptions> & { servers: string | string[] }): Promise<TestNode> {
    const node = new TestNode(nodeId);
    this.#cleanups.defer(() => node.dispose());
    await node.start({ name: "fleet", pingIntervalMs: 60_000, connectTimeoutMs: 3000, ...options });
    return node;
  }

  dispose(): Promise<void> {
    return this.#cleanups.dispose();
  }
}

interface StateChange {
  readonly state: ClusterState;
  readonly code: number | null;
  readonly message: string | null;
}

const LIMITS = { messages: 10_000, bytes: 10_000_000, ageMs: 600_000 };
const TIMEOUT_MS = 5000;

/** A link and all its reports. */
export class TestNode {
  readonly states: EventLog<StateChange> = new EventLog();
  readonly losses: EventLog<{ direction: "sent" | "received"; count: number }> = new EventLog();
  readonly #nodeId: string;
  readonly #timers = new Set<NodeJS.Timeout>();
  #link: ClusterLink | null = null;

  constructor(nodeId: string) {
    this.#nodeId = nodeId;
  }

  get link(): ClusterLink {
    return this.#link!;
  }

  /** Number of messages in a direction that were reported as lost. */
  lost(wanted: "sent" | "received"): number {
    return this.losses.all.reduce((sum, { direction, count }) => (direction === wanted ? sum + count : sum), 0);
  }

  async start(options: NatsClusterOptions): Promise<void> {
    const host: ClusterHost = {
      nodeId: this.#nodeId,
      clock: {
        now: () => performance.now(),
        setTimer: (task, delayMs) => {
          const timer = setTimeout(() => {
            this.#timers.delete(timer);
            task();
          }, delayMs);
          this.#timers.add(timer);
          return timer;
        },
        clearTimer: (timer) => {
          this.#timers.delete(timer as NodeJS.Timeout);
          clearTimeout(timer as NodeJS.Timeout);
        },
      },
      stateChanged: (state: ClusterState, reason: ConduitError | null) =>
        this.states.add({ state, code: reason?.code ?? null, message: reason?.message ?? null }),
      messagesLost: (direction, count) => this.losses.add({ direction, count }),
    };
    this.#link = await natsCluster(options).start(host);
  }

  /** Number of pending timers. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Resolves with the change when the link has entered a state. Each event is returned once. */
  async until(state: ClusterState): Promise<StateChange> {
    for (;;) {
      const change = await this.states.next();
      if (change.state === state) return change;
    }
  }

  /** Records messages at an address, as text. Resolves when NATS has received the subscription. */
  async listen(address: ClusterAddress): Promise<EventLog<string> & { readonly subscription: ClusterSubscription }> {
    const messages = new EventLog<string>();
    const subscription = this.link.subscribe(address, (payload) => messages.add(new TextDecoder().decode(payload)));
    await subscription.ready;
    return Object.assign(messages, { subscription });
  }

  send(address: ClusterAddress, text: string): string {
    return this.link.publish(address, new TextEncoder().encode(text));
  }

  async log(topic: string, limits: Partial<typeof LIMITS> = {}): Promise<TestLog> {
    const log = await this.link.logs!.open(topic, { ...LIMITS, ...limits }, TIMEOUT_MS);
    const events = new EventLog<string>();
    const places: LogPlace[] = [];
    const reader: LogReader = {
      starts(after, newest) {
        places.push(after);
        events.add(`after ${after.offset} of ${newest}`);
      },
      entry: (offset, payload) => events.add(`${offset} ${new TextDecoder().decode(payload)}`),
    };
    return {
      events,
      places,
      newest: () => log.newest(TIMEOUT_MS),
      append: (text, id = text) => log.append(id, new TextEncoder().encode(text), TIMEOUT_MS),
      read: (last = 1000) => log.read(last, reader),
      close: () => log.close(),
    };
  }

  async dispose(): Promise<void> {
    await this.#link?.close();
  }
}

/** A topic's log, and its reader's calls as text. */
export interface TestLog {
  readonly events: EventLog<string>;
  readonly places: readonly LogPlace[];
  newest(): Promise<LogPlace>;
  append(text: string, id?: string): Promise<LogPlace>;
  read(last?: number): void;
  close(): void;
}

export const room: ClusterAddress = { kind: "topic", name: "room:7" };
