import { describe, expect, test } from "vitest";
import { CallContext } from "../rpc/call-context.ts";
import type { ServerOptions } from "../server/server-options.ts";
import { type IdleLink, idleConnection } from "../test-support/idle-link.ts";

function handler(link: IdleLink): CallContext<object> {
  return new CallContext(link.face, "work", 0, 1, 0, link.owner.runtimeContext);
}

describe("the scheduler of an idle link", () => {
  test("is given up", () => {
    const { link } = idleConnection();
    const { scheduler } = link;
    link.rest();
    expect(link.scheduler).not.toBe(scheduler);
  });

  test("is given up once the last handler has settled", () => {
    const { link } = idleConnection();
    const { scheduler } = link;
    const context = handler(link);
    link.handlerStarted(context);
    link.handlerSettled(context);
    link.rest();
    expect(link.scheduler).not.toBe(scheduler);
  });

  test.each<[string, Partial<ServerOptions>, (link: IdleLink) => unknown]>([
    ["a handler runs", {}, (link) => link.handlerStarted(handler(link))],
    ["the peer has said PAUSE", {}, (link) => link.scheduler.setPausedByPeer(true)],
    ["the stream is not read", {}, (link) => link.scheduler.stopReading()],
    ["the server stops", {}, (link) => link.scheduler.drain()],
    ["what comes in is measured", { rateLimit: { messagesPerSecond: 10 } }, () => undefined],
  ])("is kept while %s", (_why, options, arrange) => {
    const { link } = idleConnection(options);
    arrange(link);
    const { scheduler } = link;
    link.rest();
    expect(link.scheduler).toBe(scheduler);
  });
});
