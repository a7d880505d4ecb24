/** The server process's commands. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { certificates } from "./certificates.ts";
import type {
  BroadcastArgs,
  BroadcastResult,
  Handlers,
  MembershipArgs,
  MembershipResult,
  ServerCommands,
  StartArgs,
  Started,
} from "./commands.ts";
import { cpuMs, MemoryWatch, measureMemory } from "./memory.ts";
import type { BenchServer, Peer } from "./peer.ts";
import { NEWS_TEXT } from "./workload.ts";

/** Receives a byte from the client process whenever all clients have received a broadcast. */
class SignalServer {
  private readonly server: Server;
  private received = 0;
  private wake: (() => void) | null = null;

  constructor() {
    this.server = createServer((socket: Socket) => {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk) => {
        this.received += chunk.length;
        this.wake?.();
      });
    });
  }

  async listen(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return (this.server.address() as AddressInfo).port;
  }

  /** Resolves when the next byte arrives. */
  async next(): Promise<void> {
    while (this.received === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    this.received--;
  }

  close(): void {
    this.server.close();
  }
}

export function serverCommands(peer: Peer): Handlers<ServerCommands> {
  const signals = new SignalServer();
  const watch = new MemoryWatch();
  let server: BenchServer | null = null;
  let lastNumber = 0;

  const running = (): BenchServer => {
    if (server === null) throw new Error("The server was not started");
    return server;
  };

  return {
    async start({ tls, ...options }: StartArgs): Promise<Started> {
      server = await peer.startServer({ ...options, tls: tls ? certificates() : null });
      return { target: server.target, signalPort: await signals.listen() };
    },
    connectionCount: () => running().connectionCount(),
    memory: () => measureMemory(running().processIds),
    cpu: () => ({ cpuMs: cpuMs() }),
    watchMemory: () => watch.start(),
    memoryGrowth: () => watch.growth(),

    async broadcast({ perTurn, seconds, topic = false }: BroadcastArgs): Promise<BroadcastResult> {
      const target = running();
      const send = topic ? target.publish?.bind(target) : target.broadcast?.bind(target);
      if (send === undefined) throw new Error(`${peer.name} has no ${topic ? "topics" : "broadcast"}`);
      let messages = 0;
      let sum = 0;
      const started = performance.now();
      const until = started + seconds * 1000;
      let now = started;
      while (now < until) {
        for (let i = 0; i < perTurn; i++) {
          lastNumber++;
          sum += lastNumber;
          send({ n: lastNumber, text: NEWS_TEXT });
        }
        messages += perTurn;
        await signals.next();
        now = performance.now();
      }
      return { messages, sum, seconds: (now - started) / 1000 };
    },

    async memberships({ topics, members }: MembershipArgs): Promise<MembershipResult> {
      const { joinTopics, leaveTopics } = running();
      if (joinTopics === undefined || leaveTopics === undefined) throw new Error(`${peer.name} has no topics`);
      const heapBytes = async (): Promise<number> => (await measureMemory(undefined)).heapBytes ?? 0;
      const secondsOf = async (work: () => Promise<void>): Promise<number> => {
        const started = performance.now();
        await work();
        return (performance.now() - started) / 1000;
      };
      // Warm up: compiles the code and fills pools.
      await joinTopics(topics / 10, members);
      await leaveTopics();
      const before = await heapBytes();
      const joinSeconds = await secondsOf(() => joinTopics(topics, members));
      const after = await heapBytes();
      const leaveSeconds = await secondsOf(leaveTopics);
      return { joinSeconds, leaveSeconds, heapBytes: after - before };
    },

    async stop(): Promise<null> {
      await server?.close();
      server = null;
      signals.close();
      return null;
    },
  };
}
