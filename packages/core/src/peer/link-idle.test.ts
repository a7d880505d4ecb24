import { describe, expect, test } from "vitest";
import { CallContext } from "../rpc/call-context.ts";
import { ConnectionStateMachine } from "../session/connection-state.ts";
import { negotiate } from "../session/extensions.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { PASSWORD } from "../test-support/raw-peer.ts";
import { EndpointCore } from "./endpoint-core.ts";
import { Link } from "./link.ts";
import { parseServerOptions, type ServerOptions } from "./server-options.ts";

type AnyLink = Link<object>;

/** A link that has logged in, and that nothing happens on. */
function idleLink(options: Partial<ServerOptions> = {}): AnyLink {
  const runtime = fakeRuntime();
  const core = new EndpointCore<object>(runtime, parseServerOptions({ password: PASSWORD, ...options }), null);
  const owner = core.linkOwner({
    role: "server",
    handshakeFrame: () => null,
    phaseTimedOut: () => undefined,
    frameRefused: () => undefined,
    linkClosing: () => undefined,
    linkClosed: () => undefined,
  });
  const machine = new ConnectionStateMachine(core);
  machine.transition("accepted", { message: "Accepted" });
  const link = new Link<object>(owner, runtime.pair()[0], machine);
  link.face = {};
  link.start(0);
  link.authenticated({ name: "", version: "", description: "", netconduit: false }, negotiate({ flow: true }));
  link.activate();
  return link;
}

function handler(link: AnyLink): CallContext<object> {
  return new CallContext(link.face, "work", 0, 1, 0, link.owner.engine);
}

describe("the intake of an idle link", () => {
  test("is given up", () => {
    const link = idleLink();
    const { intake } = link;
    link.rest();
    expect(link.intake).not.toBe(intake);
  });

  test("is given up once the last handler has settled", () => {
    const link = idleLink();
    const { intake } = link;
    const context = handler(link);
    link.handlerStarted(context);
    link.handlerSettled(context);
    link.rest();
    expect(link.intake).not.toBe(intake);
  });

  test.each<[string, Partial<ServerOptions>, (link: AnyLink) => unknown]>([
    ["a handler runs", {}, (link) => link.handlerStarted(handler(link))],
    ["the peer has said PAUSE", {}, (link) => link.intake.setPausedByPeer(true)],
    ["the stream is not read", {}, (link) => link.intake.stopReading()],
    ["the server stops", {}, (link) => link.intake.drain()],
    ["what comes in is measured", { rateLimit: { messagesPerSecond: 10 } }, () => undefined],
  ])("is kept while %s", (_why, options, arrange) => {
    const link = idleLink(options);
    arrange(link);
    const { intake } = link;
    link.rest();
    expect(link.intake).toBe(intake);
  });
});
