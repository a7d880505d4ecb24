import { type Check, Skipped } from "./check.ts";

/** Time limit of a check. Peers answer immediately, so this is only reached if a peer doesn't answer. */
export const CHECK_TIMEOUT_MS = 10_000;

export interface Outcome {
  readonly section: string;
  readonly sentence: string;
  readonly result: "pass" | "fail" | "skipped";
  /** The reason for a failed or skipped check; otherwise "". */
  readonly reason: string;
}

/** The target of a single check. */
export interface Disposable {
  dispose(): Promise<void>;
  /** Describes everything that the target has sent. */
  received(): string;
}

/** Runs a check on a new target. */
export async function runCheck<Target extends Disposable>(
  { section, sentence, patienceMs = 0, run }: Check<Target>,
  target: Target,
  usualTimeoutMs: number = CHECK_TIMEOUT_MS,
): Promise<Outcome> {
  const timeoutMs = Math.max(usualTimeoutMs, patienceMs);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const report = (): string => `Nothing more came within ${timeoutMs} ms; received: ${target.received()}`;
    timer = setTimeout(() => reject(new Error(report())), timeoutMs);
  });
  const outcome = (result: Outcome["result"], reason: string): Outcome => ({ section, sentence, result, reason });
  try {
    await Promise.race([run(target), late]);
    return outcome("pass", "");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return outcome(error instanceof Skipped ? "skipped" : "fail", reason);
  } finally {
    clearTimeout(timer);
    await target.dispose();
  }
}
