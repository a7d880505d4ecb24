/**
 * Handles of `node:net`: what its sockets are made of, and what this library uses without them. Nothing of it is
 * documented, so all of it is looked at before it is used.
 */
import type { SocketNames } from "./addresses.ts";
import type { StreamFacts } from "./stream-facts.ts";

/** An operation on a handle. What it needs is to be kept from collection until it is over. */
export interface HandleRequest {
  oncomplete?: (this: HandleRequest, status: number) => void;
  owner?: { completed(status: number, isShutdown: boolean): void };
  bytes?: Uint8Array;
}

/**
 * A connection as the system gives it to `node:net`, which makes a socket of it: over TCP, or over a Unix socket. Methods
 * return 0, or the negative number of the system's error.
 */
export interface Handle {
  /** Called when something was read, or reading has failed. @returns where to read to next; undefined: where it was */
  onread: (this: Handle) => Uint8Array | undefined;
  /** Bytes that were written and that the system has not taken. */
  readonly writeQueueSize: number;
  /** Has it read into `bytes`, which must live on. */
  useUserBuffer(bytes: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: HandleRequest, bytes: Uint8Array): number;
  /** Sends FIN behind what was written. */
  shutdown(request: HandleRequest): number;
  /** Closes it at once. What was not written is lost. */
  close(closed?: (this: Handle) => void): void;
  /** TCP only, like the rest. The same, by RST. */
  reset?(closed: (this: Handle) => void): number;
  setNoDelay?(on: boolean): number;
  getpeername?(into: object): number;
  getsockname?(into: object): number;
}

/** What `node:net` itself operates handles with: Node's `process.binding("stream_wrap")`. */
export interface HandleBinding {
  readonly WriteWrap: new () => object;
  readonly ShutdownWrap: new () => object;
  /** What the last operation came to, by these indices. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** The part of Node's `process` that is used here. */
export interface BindingProcess {
  noDeprecation?: boolean | undefined;
  binding?(name: string): object;
}

/**
 * What Node gives away of a part of itself; null: nothing. With Node's permission model on it throws.
 * @param process Node's global of that name
 */
export function bindingOf(process: BindingProcess, name: string): object | null {
  const { noDeprecation } = process;
  let isSilenced = false;
  // It is deprecated, which Node says to whoever starts it with a flag for that, and with another dies of. There is nothing
  // that an application could do about it, and sockets take its place once it is gone.
  try {
    if (noDeprecation !== true) {
      process.noDeprecation = true;
      isSilenced = true;
    }
    return process.binding?.(name) ?? null;
  } catch {
    return null;
  } finally {
    // With `--no-deprecation` it is true, and cannot be set.
    if (isSilenced) process.noDeprecation = noDeprecation;
  }
}

/** What Node gives away of how it operates handles; null: nothing, or nothing that is known here. */
export function handleBinding(process: BindingProcess): HandleBinding | null {
  const binding: Partial<HandleBinding> | null = bindingOf(process, "stream_wrap");
  const isKnown =
    typeof binding?.WriteWrap === "function" &&
    typeof binding.ShutdownWrap === "function" &&
    binding.streamBaseState instanceof Int32Array &&
    [binding.kReadBytesOrError, binding.kLastWriteWasAsync].every((index) => typeof index === "number");
  return isKnown ? (binding as HandleBinding) : null;
}

/** The error with number `status`, as of `node:net`, which adds its own end where connecting fails at once. */
export function handleError(
  code: string,
  syscall: string,
  status: number,
  where?: { readonly address: string; readonly port?: number },
): Error {
  const name = where === undefined ? "" : ` ${where.address}${where.port === undefined ? "" : `:${where.port}`}`;
  return Object.assign(new Error(`${syscall} ${code}${name}`), { code, syscall, errno: status, ...where });
}

/** Whether `handle` has all that its stream will need. */
export function isUsableHandle(handle: object): handle is Handle {
  const { useUserBuffer, readStart, readStop, writeBuffer, shutdown, close } = handle as Partial<Handle>;
  return (
    typeof useUserBuffer === "function" &&
    typeof readStart === "function" &&
    typeof readStop === "function" &&
    typeof writeBuffer === "function" &&
    typeof shutdown === "function" &&
    typeof close === "function"
  );
}

/**
 * The handle of a client's socket of `node:net` that has connected, or what is a handle already. The socket is without one
 * from then on. Null: it has none that is of use. That of a socket which a server has accepted reads already.
 * @param mayTake false: a socket stays as it is
 */
export function handleOf(socket: object, { tls, role }: StreamFacts, mayTake: boolean): Handle | null {
  if (!("_handle" in socket)) return isUsableHandle(socket) ? socket : null;
  const handle = socket._handle;
  const isOfUse = typeof handle === "object" && handle !== null && isUsableHandle(handle);
  if (!mayTake || tls !== null || role === "server" || !isOfUse) return null;
  socket._handle = null;
  return handle;
}

/** What a handle says of an address. */
interface HandleAddress {
  address?: string;
  port?: number;
}

/** Used again: Node writes into it. */
const remote: HandleAddress = {};
const local: HandleAddress = {};
const names = {
  remoteAddress: undefined as string | undefined,
  remotePort: undefined as number | undefined,
  localAddress: undefined as string | undefined,
  localPort: undefined as number | undefined,
};

/**
 * The ends of a connection, good until the next call.
 * @param socket its handle, or a socket, which knows them by itself
 * @param isNearKnown the near end need not be asked for
 * @param isFarKnown nor the far end
 */
export function endNames(socket: Handle | SocketNames, isNearKnown: boolean, isFarKnown: boolean): SocketNames {
  if (!isUsableHandle(socket)) return socket;
  const handle = socket;
  const hasPeer = !isFarKnown && handle.getpeername?.(remote) === 0;
  names.remoteAddress = hasPeer ? remote.address : undefined;
  names.remotePort = hasPeer ? remote.port : undefined;
  const hasOwn = !isNearKnown && handle.getsockname?.(local) === 0;
  names.localAddress = hasOwn ? local.address : undefined;
  names.localPort = hasOwn ? local.port : undefined;
  return names;
}
