import { describe, expect, test } from "vitest";
import { CallContext } from "../rpc/call-context.ts";
import { type IdleLink, idleLink } from "../test-support/idle-link.ts";
import type { ServerOptions } from "./server-options.ts";

function handler(link: IdleLink): CallContext<object> {
  return new CallContext(link.face, "work", 0, 1, 0, link.owner.engine);
}

describe("the intake of an idle link", () => {
  test("is given up", () => {
    const { link } = idleLink();
    const { intake } = link;
    link.rest();
    expect(link.intake).not.toBe(intake);
  });

  test("is given up once the last handler has settled", () => {
    const { link } = idleLink();
    const { intake } = link;
    const context = handler(link);
    link.handlerStarted(context);
    link.handlerSettled(context);
    link.rest();
    expect(link.intake).not.toBe(intake);
  });

  test.each<[string, Partial<ServerOptions>, (link: IdleLink) => unknown]>([
    ["a handler runs", {}, (link) => link.handlerStarted(handler(link))],
    ["the peer has said PAUSE", {}, (link) => link.intake.setPausedByPeer(true)],
    ["the stream is not read", {}, (link) => link.intake.stopReading()],
    ["the server stops", {}, (link) => link.intake.drain()],
    ["what comes in is measured", { rateLimit: { messagesPerSecond: 10 } }, () => undefined],
  ])("is kept while %s", (_why, options, arrange) => {
    const { link } = idleLink(options);
    arrange(link);
    const { intake } = link;
    link.rest();
    expect(link.intake).toBe(intake);
  });
});
