import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { executable, type RuntimeName, sourceArguments } from "../../docs-tests/lib/runtimes.ts";
import { type FromPeer, readLines, type ToPeer } from "./control-lines.ts";
import type { RuntimeFacts } from "./own-facts.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PEER = "conformance/matrix/peer.ts";
/** Number of characters of a peer's standard error that are shown after it has exited. */
const ERROR_TAIL = 4000;

type PeerLine = Exclude<FromPeer, { kind: "ready" }>;

/** The test's handle of a process that runs halves of scenarios. */
export class PeerProcess {
  readonly facts: RuntimeFacts;
  /** Resolves when the process has exited, with the exit code or signal and the tail of its standard error. */
  readonly gone: Promise<string>;
  readonly #child: ChildProcess;
  readonly #listeners: Map<number, (line: PeerLine) => void>;

  private constructor(
    child: ChildProcess,
    facts: RuntimeFacts,
    gone: Promise<string>,
    listeners: Map<number, (line: PeerLine) => void>,
  ) {
    this.#child = child;
    this.facts = facts;
    this.gone = gone;
    this.#listeners = listeners;
  }

  /** Starts a peer. Rejects with an error that names the runtime if the runtime is missing or exits before it is ready. */
  static async start(runtime: RuntimeName): Promise<PeerProcess> {
    const command = executable(runtime);
    const child = spawn(command, [...sourceArguments(runtime), PEER, runtime], { cwd: ROOT });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-ERROR_TAIL);
    });
    // Writing to a peer that has exited fails; `gone` reports that.
    child.stdin.on("error", () => {});
    const gone = new Promise<string>((resolve) => {
      child.on("error", (error) => resolve(`Cannot run ${command}: ${error.message}`));
      child.on("close", (code, signal) => resolve(`The ${runtime} peer ended (${signal ?? code})\n${errors}`));
    });
    const listeners = new Map<number, (line: PeerLine) => void>();
    const facts = new Promise<RuntimeFacts>((resolve) => {
      readLines<FromPeer>(child.stdout, (line) => {
        if (line.kind === "ready") resolve(line.facts);
        else listeners.get(line.run)?.(line);
      });
    });
    const failed = gone.then((how) => Promise.reject(new Error(how)));
    return new PeerProcess(child, await Promise.race([facts, failed]), gone, listeners);
  }

  /** Passes the peer's lines about one run to `listener`. @returns a function that stops it. */
  listen(run: number, listener: (line: PeerLine) => void): () => void {
    this.#listeners.set(run, listener);
    return () => void this.#listeners.delete(run);
  }

  say(line: ToPeer): void {
    this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  /** Stops the peer by closing its input. */
  async stop(): Promise<void> {
    const closed = this.#child.exitCode === null && this.#child.signalCode === null ? once(this.#child, "close") : null;
    this.#child.stdin?.end();
    await closed;
  }
}
