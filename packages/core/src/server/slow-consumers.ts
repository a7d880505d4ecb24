import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { HookList } from "../endpoint/hook-list.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { SlowConsumer } from "./broadcast.ts";

/** Handles clients whose send queues are full: they miss messages, or are disconnected, and the hooks run. */
export class SlowConsumers<Peer> {
  readonly hooks: HookList<[connection: Peer, report: SlowConsumer]> = new HookList();
  readonly #hookFailed: (error: unknown, connection: Peer) => void;

  constructor(hookFailed: (error: unknown, connection: Peer) => void) {
    this.#hookFailed = hookFailed;
  }

  /** Messages don't fit into a client's send queue. */
  found(
    protocol: ProtocolConnection<Peer>,
    { disconnect, missed, topic }: { readonly disconnect: boolean; readonly missed: number; readonly topic?: string },
  ): void {
    const { peer, sendQueue } = protocol;
    const queuedMessages = sendQueue.queuedFrames;
    const { bufferedBytes } = sendQueue;
    protocol.sender.missedBroadcast(missed);
    if (disconnect) {
      const message = `The client reads too slowly: ${queuedMessages} messages, ${bufferedBytes} bytes are queued`;
      protocol.destroy(new ConduitError(ErrorCode.SLOW_CONSUMER, message));
    }
    const action = disconnect ? "disconnected" : "dropped";
    const report = { action, queuedMessages, bufferedBytes, ...(topic === undefined ? {} : { topic }) } as const;
    this.hooks.notify((error) => this.#hookFailed(error, peer), peer, report);
  }
}
