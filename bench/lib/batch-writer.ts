import type { Socket } from "node:net";
import { atTurnEnd } from "./turn-end.ts";

const BLOCK_BYTES = 64 * 1024;

/** Gathers small pieces written in one turn into one write, as a program written by hand does. */
export class BatchWriter {
  /** Where `reserve` made room. */
  block: Uint8Array = new Uint8Array(BLOCK_BYTES);
  /** The same memory. */
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

  /** Takes `bytes` at the end of what was written; the caller fills them in `block` from the offset returned, at once. */
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
      atTurnEnd(this.flushLater);
    }
    return at;
  }

  private flush(): void {
    if (this.from === this.to) return;
    this.socket.write(this.block.subarray(this.from, this.to));
    this.from = this.to;
  }
}
