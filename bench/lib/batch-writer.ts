import type { Socket } from "node:net";
import process from "node:process";

const BLOCK_BYTES = 64 * 1024;

/** Combines all data of one turn of the event loop into one write, as a hand-written program does. */
export class BatchWriter {
  /** Contains the space reserved by `reserve`. */
  block: Uint8Array = new Uint8Array(BLOCK_BYTES);
  /** A view of {@link block}. */
  view: DataView = new DataView(this.block.buffer);
  private readonly socket: Socket;
  private from = 0;
  private to = 0;
  private scheduled = false;
  private readonly flushLater = (): void => {
    this.scheduled = false;
    this.flush();
  };

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Reserves `bytes` after the written data. The caller fills them synchronously, in `block` at the returned offset. */
  reserve(bytes: number): number {
    if (this.block.length - this.to < bytes) {
      this.flush();
      const block = new Uint8Array(Math.max(BLOCK_BYTES, bytes));
      this.block = block;
      this.view = new DataView(block.buffer);
      this.from = 0;
      this.to = 0;
    }
    const at = this.to;
    this.to += bytes;
    if (!this.scheduled) {
      this.scheduled = true;
      // Runs after all microtasks of this turn and before more I/O.
      queueMicrotask(() => process.nextTick(this.flushLater));
    }
    return at;
  }

  private flush(): void {
    if (this.from === this.to) return;
    this.socket.write(this.block.subarray(this.from, this.to));
    this.from = this.to;
  }
}
