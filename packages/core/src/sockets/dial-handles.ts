import type { ConnectAttempt } from "./connect-attempt.ts";
import { type BindingProcess, bindingOf, type Handle, handleError, isUsableHandle } from "./handle.ts";
import type { HandleTools } from "./handles.ts";

type Dial = Pick<ConnectAttempt<Handle>, "target" | "host" | "opened" | "ready" | "failed">;

/** A connection that is being made. Node keeps it from collection until that is over. */
interface ConnectRequest {
  oncomplete?: (this: ConnectRequest, status: number) => void;
  attempt?: Dial;
}

/** A handle that is not connected yet. Methods return as a handle's; Node 22 says nothing for a path. */
interface Unconnected extends Handle {
  connect(request: ConnectRequest, address: string, port?: number): number | undefined;
  /** TCP only. */
  connect6?(request: ConnectRequest, address: string, port: number): number;
}

/** One of Node's bindings, as far as it is for connections. */
interface WrapBinding {
  readonly Handle: new (type: number) => Unconnected;
  readonly Request: new () => object;
  /** For {@link Handle}: a connection, and nothing that listens. */
  readonly type: number;
}

/** What `node:net` itself connects with: Node's `process.binding("tcp_wrap")` and `process.binding("pipe_wrap")`. */
export interface DialBinding {
  readonly tcp: WrapBinding;
  readonly pipe: WrapBinding;
}

/** What Node gives away of it; null: nothing, or nothing that is known here. */
export function dialBinding(process: BindingProcess): DialBinding | null {
  const tcp = wrapBinding(bindingOf(process, "tcp_wrap"), "TCP", ["connect", "connect6"]);
  const pipe = wrapBinding(bindingOf(process, "pipe_wrap"), "Pipe", ["connect"]);
  return tcp === null || pipe === null ? null : { tcp, pipe };
}

function wrapBinding(binding: object | null, name: "TCP" | "Pipe", methods: readonly string[]): WrapBinding | null {
  if (binding === null) return null;
  const found = binding as Record<string, unknown>;
  const Handle = found[name] as WrapBinding["Handle"] | undefined;
  const Request = found[`${name}ConnectWrap`] as WrapBinding["Request"] | undefined;
  const type = (found["constants"] as { SOCKET?: unknown } | undefined)?.SOCKET;
  if (typeof Handle !== "function" || typeof Request !== "function" || typeof type !== "number") return null;
  const methodsOf = Handle.prototype as unknown as Record<string, unknown>;
  const isKnown = isUsableHandle(methodsOf) && methods.every((method) => typeof methodsOf[method] === "function");
  return isKnown ? { Handle, Request, type } : null;
}

/** Has an attempt connect. @returns false: it is to a name, which may have several addresses, or to no port; nothing was done */
export type HandleDialler = (attempt: Dial) => boolean;

/**
 * Connects without a `net.Socket`, which would be garbage as soon as the connection is there, and whose handle keeps what
 * is noted on it in memory of its own.
 */
export function handleDialler(runtime: Omit<HandleTools, "errors"> & { readonly binding: DialBinding }): HandleDialler {
  const { binding, nameOf, familyOf } = runtime;
  const { tcp, pipe } = binding;

  /** A class of one's own leaves room for what `node:net` notes on a handle, which otherwise takes memory of its own. */
  class ClientHandle extends tcp.Handle {}

  function onConnected(this: ConnectRequest, status: number): void {
    const { attempt } = this;
    if (status === 0) attempt?.ready();
    else attempt?.failed(handleError(nameOf(status), "connect", status, addressOf(attempt)));
  }

  function connect(attempt: Dial, family: number): void {
    const { host, target } = attempt;
    const { path, port } = target;
    const handle: Unconnected = path === undefined ? new ClientHandle(tcp.type) : new pipe.Handle(pipe.type);
    attempt.opened(handle);
    const request: ConnectRequest = path === undefined ? new tcp.Request() : new pipe.Request();
    request.oncomplete = onConnected;
    request.attempt = attempt;
    const status =
      path !== undefined
        ? handle.connect(request, path)
        : family === 6
          ? handle.connect6?.(request, host, port)
          : handle.connect(request, host, port);
    if (status !== undefined && status !== 0) onConnected.call(request, status);
  }

  return (attempt) => {
    const { path, port } = attempt.target;
    const family = path === undefined ? familyOf(attempt.host) : 0;
    // The system would take 65,537 for 1, and `node:net` says what is wrong with it.
    if (path === undefined && (family === 0 || !isPort(port))) return false;
    connect(attempt, family);
    return true;
  };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 65_535;
}

/** As `node:net` names it: without a port that is 0. */
function addressOf({ host, target: { path, port } }: Dial): { address: string; port?: number } {
  if (path !== undefined) return { address: path };
  return port === 0 ? { address: host } : { address: host, port };
}
