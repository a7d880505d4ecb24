import { HookList } from "../endpoint/hook-list.ts";
import { ReportWindows } from "../util/report-windows.ts";
import type { ClusterLoss } from "./cluster.ts";

const LOSS_WINDOW_MS = 1000;

export interface ClusterLossesHost {
  /** Monotonic milliseconds. */
  now(): number;
  hookFailed(error: unknown): void;
}

/** Counts lost messages between nodes. Reports the first loss immediately, then at most once a second for each reason. */
export class ClusterLosses {
  readonly hooks: HookList<[loss: ClusterLoss]> = new HookList();
  readonly #host: ClusterLossesHost;
  readonly #windows = new ReportWindows<ClusterLoss>(LOSS_WINDOW_MS);
  /** Number of messages lost after the link had accepted them. */
  #lostSent = 0;
  #lostReceived = 0;

  constructor(host: ClusterLossesHost) {
    this.#host = host;
  }

  get counts(): { readonly lostSent: number; readonly lostReceived: number } {
    return { lostSent: this.#lostSent, lostReceived: this.#lostReceived };
  }

  add(loss: ClusterLoss): void {
    if (loss.direction === "received") this.#lostReceived += loss.count;
    else if (loss.reason === "dropped") this.#lostSent += loss.count;
    const kind = `${loss.direction} ${loss.reason}`;
    const count = this.#windows.add(kind, loss, this.#host.now(), Math.max(1, loss.count));
    if (count > 0) this.#notify({ ...loss, count: loss.count === 0 ? 0 : count });
  }

  /** Reports the losses counted since the last report. */
  end(): void {
    for (const { report, count } of this.#windows.end()) this.#notify({ ...report, count });
  }

  #notify(loss: ClusterLoss): void {
    this.hooks.notify((error) => this.#host.hookFailed(error), loss);
  }
}
