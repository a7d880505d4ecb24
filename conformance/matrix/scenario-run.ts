import type { FromPeer, Role } from "./control-lines.ts";
import type { PeerProcess } from "./peer-process.ts";
import type { Scenario } from "./scenario.ts";

/** A scenario that takes longer than this is considered hanging. Not a performance limit. */
const SCENARIO_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 5000;
const LATE: unique symbol = Symbol("late");

let runs = 0;

/** One half of a scenario, running in a peer process. */
class RunningHalf {
  readonly role: Role;
  readonly peer: PeerProcess;
  readonly run: number;
  hasReturned = false;
  /** Resolves when the half has returned; rejects when it has failed or its process has exited. */
  readonly returned: Promise<void>;
  /** Resolves with the facts that the half was waiting for when it was ended; null if its process has exited. */
  readonly ended: Promise<readonly string[] | null>;

  constructor(role: Role, peer: PeerProcess, run: number, dies: boolean, tellOther: (line: FromPeer) => void) {
    this.role = role;
    this.peer = peer;
    this.run = run;
    const ended = Promise.withResolvers<readonly string[] | null>();
    const returned = Promise.withResolvers<void>();
    peer.listen(run, (line) => {
      if (line.kind === "tell") tellOther(line);
      else if (line.kind === "ended") {
        if (line.error === null) ended.resolve(line.waitingFor);
        else ended.reject(this.failure(`while it was ended: ${line.error}`));
      } else if (line.error !== null) returned.reject(this.failure(line.error));
      else if (dies) returned.reject(this.failure("It returned instead of ending its process"));
      else {
        this.hasReturned = true;
        returned.resolve();
      }
    });
    void peer.gone.then((how) => {
      ended.resolve(null);
      if (dies) returned.resolve();
      else returned.reject(this.failure(how));
    });
    this.returned = returned.promise;
    this.ended = ended.promise;
    // Only a run's first failure is reported; other rejections may have no handler.
    this.returned.catch(() => {});
    this.ended.catch(() => {});
  }

  /** Closes everything that the half created. */
  end(): Promise<readonly string[] | null> {
    this.peer.say({ kind: "end", run: this.run });
    return this.ended;
  }

  failure(what: string): Error {
    const { runtime, version } = this.peer.facts;
    return new Error(`The ${this.role}'s half, on ${runtime} ${version}: ${what}`);
  }
}

/** Resolves like `promise`, or with LATE if it takes longer than `ms`. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | typeof LATE> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends hanging halves. @returns an error that names them and the facts that they are waiting for */
async function giveUp(halves: readonly RunningHalf[]): Promise<Error> {
  const texts: string[] = [];
  for (const half of halves) {
    const ended = await within(END_TIMEOUT_MS, half.end());
    if (half.hasReturned) continue;
    const facts = ended === LATE || ended === null || ended.length === 0 ? "" : ` It waits for: ${ended.join(", ")}.`;
    texts.push(half.failure(`It has not returned after ${SCENARIO_TIMEOUT_MS} ms.${facts}`).message);
  }
  return new Error(texts.join("\n"));
}

/**
 * Runs a scenario with the server in one process and the client in another. If a half fails, rejects with an error
 * that names it.
 */
export async function runScenario(scenario: Scenario, server: PeerProcess, client: PeerProcess): Promise<void> {
  runs += 1;
  const run = runs;
  const { title, dies } = scenario;
  const relayTo = (peer: PeerProcess) => (line: FromPeer) => {
    if (line.kind === "tell") peer.say({ ...line, kind: "told" });
  };
  const halves = [
    new RunningHalf("client", client, run, dies === "client", relayTo(server)),
    new RunningHalf("server", server, run, dies === "server", relayTo(client)),
  ];
  const [dying, other] = dies === "server" ? [server, client] : [client, server];
  if (dies !== undefined) void dying.gone.then(() => other.say({ kind: "told", run, fact: "gone", value: null }));
  for (const { peer, role } of halves) peer.say({ kind: "start", run, title, role });
  try {
    const returned = Promise.all(halves.map((half) => half.returned));
    if ((await within(SCENARIO_TIMEOUT_MS, returned)) === LATE) throw await giveUp(halves);
    for (const half of halves) {
      if ((await within(SCENARIO_TIMEOUT_MS, half.end())) === LATE) throw half.failure("It does not end");
    }
  } catch (error) {
    for (const half of halves) half.end().catch(() => {});
    throw error;
  }
}
