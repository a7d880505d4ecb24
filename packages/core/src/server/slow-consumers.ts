import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { HookList } from "../endpoint/hook-list.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { ReportWindows } from "../util/report-windows.ts";
import type { SlowConsumer } from "./broadcast.ts";

export interface SlowConsumersHost<Peer> {
  /** Milliseconds on a monotonic clock. */
  now(): number;
  hookFailed(error: unknown, connection: Peer): void;
}

/**
 * Handles clients whose send queues are full: drops their messages or disconnects them, and runs the hooks. For
 * dropped messages, the hooks run once per window for broadcasts and for each topic, and once more for the rest when
 * the connection ends.
 */
export class SlowConsumers<Peer> {
  readonly hooks: HookList<[connection: Peer, report: SlowConsumer]> = new HookList();
  readonly #host: SlowConsumersHost<Peer>;
  readonly #dropped = new WeakMap<ProtocolConnection<Peer>, ReportWindows<SlowConsumer>>();

  constructor(host: SlowConsumersHost<Peer>) {
    this.#host = host;
  }

  /** Handles messages that don't fit into a client's send queue. */
  found(
    protocol: ProtocolConnection<Peer>,
    { disconnect, missed, topic }: { readonly disconnect: boolean; readonly missed: number; readonly topic?: string },
  ): void {
    const { peer, sendQueue } = protocol;
    const queuedMessages = sendQueue.queuedFrames;
    const { bufferedBytes } = sendQueue;
    protocol.sender.missedBroadcast(missed);
    const report = { queuedMessages, bufferedBytes, count: missed, ...(topic === undefined ? {} : { topic }) };
    if (disconnect) {
      const message = `The client reads too slowly: ${queuedMessages} messages, ${bufferedBytes} bytes are queued`;
      protocol.destroy(new ConduitError(ErrorCode.SLOW_CONSUMER, message));
      this.#notify(peer, { action: "disconnected", ...report });
    } else if (!this.hooks.isEmpty) this.#addDropped(protocol, { action: "dropped", ...report });
  }

  /** Reports the rest when the connection has ended. May be called again. */
  ended(protocol: ProtocolConnection<Peer>): void {
    for (const { report, count } of this.#dropped.get(protocol)?.end() ?? []) {
      this.#notify(protocol.peer, { ...report, count });
    }
  }

  #addDropped(protocol: ProtocolConnection<Peer>, report: SlowConsumer): void {
    let windows = this.#dropped.get(protocol);
    if (windows === undefined) {
      windows = new ReportWindows(REPORT_WINDOW_MS);
      this.#dropped.set(protocol, windows);
    }
    // The number 0 can't collide with a topic's name.
    const count = windows.add(report.topic ?? 0, report, this.#host.now(), report.count);
    if (count > 0) this.#notify(protocol.peer, { ...report, count });
  }

  #notify(peer: Peer, report: SlowConsumer): void {
    this.hooks.notify((error) => this.#host.hookFailed(error, peer), peer, report);
  }
}
