import { type Handle, isUsableHandle } from "./handle.ts";

type OnConnection = (this: unknown, error: unknown, handle: object | undefined) => void;

/** What servers of `node:net` are made of; not documented, and so not relied on. */
interface Listening {
  readonly _handle?: { onconnection?: OnConnection } | null;
}

/**
 * Has the handles that a listening `net.Server` accepts handed to `accept`, instead of sockets made of them. Where Node has
 * no such callback that could be replaced, and for a handle that lacks anything, the server does as ever.
 * @param mayTake asked for each handle. False: the server does as ever
 */
export function acceptHandles(server: object, accept: (handle: Handle) => void, mayTake: () => boolean): void {
  const listener = (server as Listening)._handle;
  const onConnection = listener?.onconnection;
  if (!listener || typeof onConnection !== "function") return;
  listener.onconnection = function (error, handle) {
    if (!error && handle !== undefined && isUsableHandle(handle) && mayTake()) accept(handle);
    else onConnection.call(this, error, handle);
  };
}
