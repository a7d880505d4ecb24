import { type OnReadOpts, Socket } from "node:net";
import { type SocketStream, STREAM, type StreamedSocket } from "./socket-stream.ts";

/**
 * Elsewhere the system has read into the buffer when Node says so, and all sockets can share one, which saves each read
 * its allocation. On Windows a read waits with its buffer.
 */
export const SHARES_READ_BUFFER: boolean = process.platform !== "win32";

/** By size; there are as many as there are values of the option `bufferSize`. */
const known = new Map<number, OnReadOpts>();
/** Whose callback has just returned: right behind it Node asks for the next buffer, without naming the socket. */
let reader: SocketStream | null = null;

/**
 * The option `onread` of sockets that read into one buffer of `bufferSize` bytes, or where their stream says. The same
 * functions serve all sockets.
 */
export function sharedReads(bufferSize: number): OnReadOpts {
  const options = known.get(bufferSize) ?? newReads(new Uint8Array(bufferSize));
  known.set(bufferSize, options);
  return options;
}

/** What Node's sockets are made of; not documented, and so not relied on. */
type Handled = Socket & { _handle?: { useUserBuffer?: unknown } | null; _server?: unknown };

/**
 * An accepted socket that reads as {@link sharedReads} says. `net.createServer` has no such option, so the socket is made
 * anew from its handle; where Node has no such handle, it stays as it is.
 * @param accepted with `pauseOnConnect`: nothing has been read
 */
export function withSharedReads(accepted: Socket, bufferSize: number): { socket: Socket; isFed: boolean } {
  const handled = accepted as Handled;
  const handle = handled._handle;
  if (!SHARES_READ_BUFFER || typeof handle?.useUserBuffer !== "function") return { socket: accepted, isFed: false };
  handled._handle = null;
  const options = { handle, onread: sharedReads(bufferSize), highWaterMark: bufferSize, manualStart: true };
  const socket: Handled = new Socket(options as object);
  // The server counts its connections.
  socket._server = handled._server;
  handled._server = null;
  return { socket, isFed: true };
}

function newReads(shared: Uint8Array): OnReadOpts {
  return {
    buffer(): Uint8Array {
      const stream = reader;
      reader = null;
      // A socket's first buffer has to be one; later, Node takes what is none for "the same again".
      return stream === null ? shared : (stream.nextBuffer(shared) as Uint8Array);
    },
    /** Node calls it as a method of the socket. */
    callback(this: unknown, count: number, buffer: Uint8Array): boolean {
      // Without a stream the socket is being given up.
      const stream = (this as Partial<StreamedSocket>)[STREAM] ?? null;
      stream?.hasRead(count, buffer);
      reader = stream;
      return true;
    },
  };
}
