import type { OnReadOpts } from "node:net";
import process from "node:process";
import type { SocketOwner } from "@netconduit/core/adapter";

/** By size: memory that many sockets read into, one after the other. */
const sharedBuffers = new Map<number, Uint8Array>();

/**
 * The option `onread` of a client's socket, which reads where the socket's owner wants the bytes, or else into a buffer
 * that all clients share. Without it Node takes 64 KiB of memory for each read.
 */
export function readInto(bufferSize: number, owner: () => SocketOwner | null): OnReadOpts {
  const shared = bufferOf(bufferSize);
  return {
    buffer: () => owner()?.readTarget?.() ?? shared,
    callback(count, buffer) {
      if (buffer === shared) owner()?.received?.(shared.subarray(0, count));
      else owner()?.bytesRead?.(count);
      return true;
    },
  };
}

function bufferOf(size: number): Uint8Array {
  // On Windows a read that waits holds its buffer.
  if (process.platform === "win32") return Buffer.allocUnsafeSlow(size);
  const buffer = sharedBuffers.get(size) ?? Buffer.allocUnsafeSlow(size);
  sharedBuffers.set(size, buffer);
  return buffer;
}
