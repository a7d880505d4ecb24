/** Load loops of a client, which check every reply. */
import type { LoadArgs, LoadResult, PacedArgs, PacedResult } from "./commands.ts";
import type { BenchClient } from "./peer.ts";
import { percentile } from "./statistics.ts";
import { MESSAGE_TEXT } from "./workload.ts";

const MAX_SAMPLES = 1_000_000;
/** A client with a backlog of calls for more than this time doesn't keep up. */
const MAX_BEHIND_SECONDS = 0.5;

/** Returns a function that makes one call and throws if the reply is wrong. */
function operation(client: BenchClient, { kind, methods }: Pick<LoadArgs, "kind" | "methods">): () => Promise<void> {
  let n = 0;
  if (kind === "request") {
    const { request } = client;
    if (request === undefined) throw new Error("The peer has no messages with replies");
    return async () => {
      const id = ++n;
      const reply = await request.call(client, { id, text: MESSAGE_TEXT });
      if (reply.id !== id || reply.text !== MESSAGE_TEXT) throw new Error(`The reply to ${id} has id ${reply.id}`);
    };
  }
  if (kind === "openStream") {
    const { openStream } = client;
    if (openStream === undefined) throw new Error("The peer has no streams");
    return async () => {
      const item = await openStream.call(client);
      if (item !== 1) throw new Error(`The item 1 came as ${item}`);
    };
  }
  const { call } = client;
  if (call === undefined) throw new Error("The peer has no calls");
  return async () => {
    const a = ++n & 0xffff;
    const sum = await call.call(client, { a, b: 7 }, methods === 1 ? 0 : n % methods);
    if (sum !== a + 7) throw new Error(`${a} + 7 came back as ${sum}`);
  };
}

/** Keeps `inFlight` calls in flight for about `seconds`. Resolves when the last is answered. */
export async function runLoad(client: BenchClient, args: LoadArgs): Promise<LoadResult> {
  const { inFlight, seconds } = args;
  const one = operation(client, args);
  const latencies = inFlight === 1 ? new Float64Array(MAX_SAMPLES) : null;
  let count = 0;
  let running = true;
  const worker = async (): Promise<void> => {
    while (running) {
      await one();
      count++;
    }
  };
  const timed = async (samples: Float64Array): Promise<void> => {
    let before = performance.now();
    while (running) {
      await one();
      const now = performance.now();
      if (count < MAX_SAMPLES) samples[count] = now - before;
      before = now;
      count++;
    }
  };
  const timer = setTimeout(() => {
    running = false;
  }, seconds * 1000);
  const started = performance.now();
  try {
    await (latencies === null ? Promise.all(Array.from({ length: inFlight }, worker)) : timed(latencies));
  } finally {
    running = false;
    clearTimeout(timer);
  }
  const elapsed = (performance.now() - started) / 1000;
  const samples = latencies?.subarray(0, Math.min(count, MAX_SAMPLES)).sort() ?? null;
  return {
    count,
    seconds: elapsed,
    medianMs: samples === null ? null : percentile(samples, 50),
    p99Ms: samples === null ? null : percentile(samples, 99),
  };
}

/**
 * Makes calls at a fixed rate, even if earlier ones are pending, and measures each from the time it was due: a stall
 * affects every call due during it (no coordinated omission). Polls the clock, because timers are a thousand times
 * too coarse.
 */
export async function runPaced(client: BenchClient, { perSecond, seconds }: PacedArgs): Promise<PacedResult> {
  const one = operation(client, { kind: "call", methods: 1 });
  const total = Math.round(perSecond * seconds);
  const latencies = new Float64Array(total);
  const intervalMs = 1000 / perSecond;
  const maxWaiting = perSecond * MAX_BEHIND_SECONDS;
  const started = performance.now() + 1;
  let sent = 0;
  let done = 0;
  let tooSlow = false;
  await new Promise<void>((resolve, reject) => {
    const send = async (index: number): Promise<void> => {
      await one();
      latencies[index] = performance.now() - (started + index * intervalMs);
      done++;
      if (done === sent && (tooSlow || done === total)) resolve();
    };
    const turn = (): void => {
      const now = performance.now();
      while (sent < total && started + sent * intervalMs <= now) send(sent++).catch(reject);
      tooSlow = sent - done > maxWaiting;
      if (sent < total && !tooSlow) setImmediate(turn);
    };
    turn();
  });
  if (tooSlow) return null;
  latencies.sort();
  return { p50: percentile(latencies, 50), p99: percentile(latencies, 99), p999: percentile(latencies, 99.9) };
}
