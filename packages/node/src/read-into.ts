import type { OnReadOpts } from "node:net";
import process from "node:process";
import type { SocketOwner } from "@netconduit/core/adapter";

/** Read buffers by size, shared by all sockets. */
const sharedBuffers = new Map<number, Uint8Array>();

/**
 * Creates the option `onread` of a client's socket. It reads into memory from the socket's owner, or else into a buffer
 * shared by all clients. Without it, Node allocates 64 KiB for each read.
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
  // On Windows, a pending read holds its buffer.
  if (process.platform === "win32") return Buffer.allocUnsafeSlow(size);
  const buffer = sharedBuffers.get(size) ?? Buffer.allocUnsafeSlow(size);
  sharedBuffers.set(size, buffer);
  return buffer;
}
