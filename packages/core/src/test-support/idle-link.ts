import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import { negotiate } from "../connection/extensions.ts";
import { ProtocolConnection } from "../connection/protocol-connection.ts";
import { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { Registry } from "../rpc/registry.ts";
import { parseServerOptions, type ServerOptions } from "../server/server-options.ts";
import { type FakeRuntime, fakeRuntime } from "./fake-runtime.ts";
import { PASSWORD } from "./raw-peer.ts";

/** A server's link, of whose peer nothing is known. */
export type IdleLink = ProtocolConnection<object>;

interface Scene {
  readonly link: IdleLink;
  readonly runtime: FakeRuntime;
  readonly registry: Registry<object>;
}

/** A link that has logged in, and that nothing happens on. Default stream: one to nobody. */
export function idleConnection(options: Partial<ServerOptions> = {}, stream?: ByteStream): Scene {
  const { logIn, ...scene } = newLink(options, stream);
  logIn();
  return scene;
}

/** A link that has yet to log in. */
export function newLink(
  options: Partial<ServerOptions> = {},
  stream?: ByteStream,
): Scene & { readonly logIn: () => void } {
  const runtime = fakeRuntime();
  const core = new EndpointCore<object>(runtime, parseServerOptions({ password: PASSWORD, ...options }), null);
  const owner = core.delegate({
    role: "server",
    handshakeFrame: () => null,
    phaseTimedOut: () => undefined,
    frameRefused: () => undefined,
    connectionClosing: () => undefined,
    connectionClosed: () => undefined,
  });
  const machine = new ConnectionStateMachine(core);
  machine.transition("accepted", { message: "Accepted" });
  const link = new ProtocolConnection<object>(owner, stream ?? runtime.pair()[0], machine);
  link.face = {};
  link.start(0);
  const logIn = (): void => {
    link.authenticated({ name: "", version: "", description: "", netconduit: false }, negotiate({ flow: true }));
    link.activate();
  };
  return { link, runtime, registry: core.registry, logIn };
}
