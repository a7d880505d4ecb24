/**
 * Decides when items leave: one frame of each stream in turn, only while the byte stream takes more, so that other
 * frames wait for one frame of items at most. The peer acknowledges what arrives; few bytes are on their way without
 * that, because small frames wait behind them in the system's buffers.
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
  /** The send queue's count of frames after the last frame of items. */
  #framesSeen = 0;
  #isDirty = false;
  #isRunning = false;
  /** Whether it waits for the byte stream. */
  #isWaiting = false;

  constructor(connection: ExtensionHost) {
    this.#connection = connection;
  }

  /** The stream's items leave as soon as its turn comes. */
  sendNow(sender: StreamSender): void {
    this.#add(sender);
    this.#run();
  }

  /** The stream's items leave at the end of the turn of the event loop, with others that come until then. */
  sendLater(sender: StreamSender): void {
    this.#add(sender);
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#connection.context.markDirty(this);
  }

  /** The end of the turn. */
  flush(): void {
    this.#isDirty = false;
    this.#run();
    this.#connection.sendQueue.flush();
  }

  /** Whether the peer must be asked to acknowledge a frame of so many bytes at once. */
  mustAsk(bytes: number): boolean {
    return this.#window.mustAsk(bytes);
  }

  /** The peer has received so many more bytes. */
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
    // Calls and replies are sent as well, and wait behind the items that are on their way.
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
