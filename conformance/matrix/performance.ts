import type { FromPeer, Role } from "./control-lines.ts";
import type { PeerProcess } from "./peer-process.ts";
import type { Scenario } from "./scenario.ts";

/** Nothing is measured by it: a scenario that is not over by then hangs. */
const PATIENCE_MS = 60_000;
const END_PATIENCE_MS = 5000;
const LATE: unique symbol = Symbol("late");

let runs = 0;

/** One half of a scenario that is being played. */
class PlayedHalf {
  readonly role: Role;
  readonly peer: PeerProcess;
  readonly run: number;
  isPlayed = false;
  /** Resolves when the half has returned; rejects when it failed or its process is gone. */
  readonly played: Promise<void>;
  /** What it waited to waitFor when it was ended; null: its process is gone. */
  readonly ended: Promise<readonly string[] | null>;

  constructor(role: Role, peer: PeerProcess, run: number, dies: boolean, tellOther: (line: FromPeer) => void) {
    this.role = role;
    this.peer = peer;
    this.run = run;
    let endWith: (waitingFor: readonly string[] | null) => void = () => {};
    let failEnding: (error: Error) => void = () => {};
    this.ended = new Promise((resolve, reject) => {
      endWith = resolve;
      failEnding = reject;
    });
    // Whoever fails first is reported; this may be nobody's first.
    this.ended.catch(() => {});
    this.played = new Promise((resolve, reject) => {
      peer.listen(run, (line) => {
        if (line.kind === "tell") tellOther(line);
        else if (line.kind === "ended") {
          if (line.error === null) endWith(line.waitingFor);
          else failEnding(this.failure(`while it was ended: ${line.error}`));
        } else if (line.error !== null) reject(this.failure(line.error));
        // A half that was to die and returned has not died.
        else if (dies) reject(this.failure("It was to end its process, and has returned"));
        else {
          this.isPlayed = true;
          resolve();
        }
      });
      void peer.gone.then((how) => {
        endWith(null);
        if (dies) resolve();
        else reject(this.failure(how));
      });
    });
    this.played.catch(() => {});
  }

  /** Ends what the half made. */
  end(): Promise<readonly string[] | null> {
    this.peer.say({ kind: "end", run: this.run });
    return this.ended;
  }

  failure(what: string): Error {
    const { runtime, version } = this.peer.facts;
    return new Error(`The ${this.role}'s half, on ${runtime} ${version}: ${what}`);
  }
}

/** What `promise` settles with, or LATE if it takes longer than `ms`. */
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

/** Ends halves that take too long, and says which they are and what they wait for. */
async function giveUp(halves: readonly PlayedHalf[]): Promise<Error> {
  const texts: string[] = [];
  for (const half of halves) {
    const ended = await within(END_PATIENCE_MS, half.end());
    if (half.isPlayed) continue;
    const facts =
      ended === LATE || ended === null || ended.length === 0 ? "" : ` It waits to waitFor: ${ended.join(", ")}.`;
    texts.push(half.failure(`It has not returned after ${PATIENCE_MS} ms.${facts}`).message);
  }
  return new Error(texts.join("\n"));
}

/** Plays a scenario, its server in one process and its client in another. Rejects with what failed in which half. */
export async function perform(scenario: Scenario, server: PeerProcess, client: PeerProcess): Promise<void> {
  runs += 1;
  const run = runs;
  const { title, dies } = scenario;
  const relayTo = (peer: PeerProcess) => (line: FromPeer) => {
    if (line.kind === "tell") peer.say({ ...line, kind: "told" });
  };
  const halves = [
    new PlayedHalf("client", client, run, dies === "client", relayTo(server)),
    new PlayedHalf("server", server, run, dies === "server", relayTo(client)),
  ];
  const [dying, other] = dies === "server" ? [server, client] : [client, server];
  if (dies !== undefined) void dying.gone.then(() => other.say({ kind: "told", run, fact: "gone", value: null }));
  for (const { peer, role } of halves) peer.say({ kind: "play", run, title, role });
  try {
    if ((await within(PATIENCE_MS, Promise.all(halves.map(({ played }) => played)))) === LATE)
      throw await giveUp(halves);
    for (const half of halves) {
      if ((await within(PATIENCE_MS, half.end())) === LATE) throw half.failure("What it made does not end");
    }
  } catch (error) {
    for (const half of halves) half.end().catch(() => {});
    throw error;
  }
}
