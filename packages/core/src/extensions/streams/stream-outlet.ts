/**
 * Decides when items are sent: one frame of each stream in turn, and only while the byte stream accepts more, so that
 * other frames wait for at most one frame of items. The peer acknowledges received bytes. Unacknowledged bytes are
 * kept few, because small frames would wait behind them in the system's buffers.
 */

import type { ExtensionHost } from "../../connection/extension.ts";
import { ChunkWindow } from "../../connection/send/chunk-window.ts";
import type { Flushable } from "../../context/runtime-context.ts";
import { Fifo } from "../../util/fifo.ts";
import type { StreamSender } from "./stream-sender.ts";

export class StreamOutlet implements Flushable {
  readonly #connection: ExtensionHost;
  readonly #window = new ChunkWindow();
  readonly #ready = new Fifo<StreamSender>();
  /** The send queue's frame count after the last frame of items. */
  #framesSeen = 0;
  #isDirty = false;
  #isRunning = false;
  /** Whether it waits for the byte stream. */
  #isWaiting = false;

  constructor(connection: ExtensionHost) {
    this.#connection = connection;
  }

  /** Sends the stream's items as soon as it is its turn. */
  sendNow(sender: StreamSender): void {
    this.#add(sender);
    this.#run();
  }

  /** Sends the stream's items at the end of the event loop turn, together with items added until then. */
  sendLater(sender: StreamSender): void {
    this.#add(sender);
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#connection.context.markDirty(this);
  }

  /** Runs at the end of the turn. */
  flush(): void {
    this.#isDirty = false;
    this.#run();
    this.#connection.sendQueue.flush();
  }

  /** Whether to request an immediate acknowledgement of a frame of this size. */
  mustAsk(bytes: number): boolean {
    return this.#window.mustAsk(bytes);
  }

  /** The peer has received this many more bytes. */
  acknowledged(bytes: number): void {
    this.#window.acknowledged(bytes, this.#connection.context.runtime.now());
    this.#run();
  }

  clear(): void {
    this.#ready.clear();
  }

  #add(sender: StreamSender): void {
    if (sender.isQueued) return;
    sender.isQueued = true;
    this.#ready.push(sender);
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { sendQueue } = this.#connection;
    // Calls and replies are being sent as well, and wait behind the items in flight.
    if (sendQueue.dataFrames !== this.#framesSeen) this.#window.shared();
    try {
      this.#sendFrames();
    } finally {
      this.#framesSeen = sendQueue.dataFrames;
      this.#isRunning = false;
    }
  }

  #sendFrames(): void {
    const connection = this.#connection;
    while (this.#ready.length > 0 && this.#window.hasRoom) {
      if (!connection.sendQueue.canSend) {
        this.#waitForStream();
        return;
      }
      const sender = this.#ready.shift() as StreamSender;
      sender.isQueued = false;
      const bytes = sender.sendFrame();
      if (bytes === 0) continue;
      this.#window.sent(bytes, connection.context.runtime.now());
      if (sender.isSendable) this.#add(sender);
    }
  }

  #waitForStream(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#connection.whenSendable(() => {
      this.#isWaiting = false;
      this.#run();
    });
  }
}
