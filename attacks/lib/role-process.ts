/** Controls a process with a role in an attack. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import process from "node:process";
import { CommandedProcess } from "../../conformance/support/commanded-process.ts";
import { executable, type RuntimeName, sourceArguments } from "../../docs-tests/lib/runtimes.ts";

export interface RoleOptions {
  readonly runtime?: RuntimeName;
  /** Largest number of file descriptors. Default: the system's. */
  readonly descriptors?: number | undefined;
}

export class RoleProcess extends CommandedProcess {
  /** Starts `program`, a file in this folder. Resolves when it accepts commands. */
  static async start(program: string, options: RoleOptions = {}): Promise<RoleProcess> {
    const { runtime = "node", descriptors } = options;
    const limit = descriptors === undefined ? [] : ["prlimit", `--nofile=${descriptors}`];
    const role = new RoleProcess([
      ...limit,
      executable(runtime),
      ...(runtime === "node" ? ["--expose-gc"] : []),
      ...sourceArguments(runtime),
      `attacks/${program}`,
      runtime,
    ]);
    await role.ready;
    return role;
  }

  /**
   * Yields the processors to other processes. On Linux, all threads become idle tasks, which are preempted
   * immediately, while those of the lowest priority keep their processor for up to 3 ms.
   */
  yieldProcessors(): void {
    if (this.id === undefined) return;
    if (process.platform === "linux") {
      execFileSync("chrt", ["--idle", "--all-tasks", "--pid", "0", String(this.id)]);
    } else {
      setPriority(this.id, constants.priority.PRIORITY_LOW);
    }
  }

  /** Peak memory in MiB; 0 if the system doesn't provide it. */
  get peakMiB(): number {
    return this.#memory("VmHWM");
  }

  get memoryMiB(): number {
    return this.#memory("VmRSS");
  }

  #memory(field: string): number {
    if (process.platform !== "linux" || this.exit !== null) return 0;
    const [, kib] = new RegExp(`${field}:\\s*(\\d+)`).exec(readFileSync(`/proc/${this.id}/status`, "utf8")) ?? [];
    return Math.round(Number(kib ?? 0) / 1024);
  }
}
