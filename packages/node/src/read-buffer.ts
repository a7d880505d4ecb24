import process from "node:process";

/** By size. All clients' sockets share one: Node.js calls back before it reads again. */
const sharedBuffers = new Map<number, Uint8Array>();

/** Memory for the option `onread` of a client's socket. Without it, Node allocates 64 KiB for each read. */
export function readBuffer(size: number): Uint8Array {
  // On Windows, a pending read holds its buffer.
  if (process.platform === "win32") return Buffer.allocUnsafeSlow(size);
  const buffer = sharedBuffers.get(size) ?? Buffer.allocUnsafeSlow(size);
  sharedBuffers.set(size, buffer);
  return buffer;
}
