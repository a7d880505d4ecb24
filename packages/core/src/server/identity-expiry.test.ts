import { expect, test, vi } from "vitest";
import { makeUser } from "../auth/user.ts";
import { runtimeContextOf } from "../context/runtime-context.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { IdentityExpiry } from "./identity-expiry.ts";

test("a connection that is closing isn't asked for a new token, nor looked at until the identity ends", async () => {
  const runtime = fakeRuntime();
  const context = runtimeContextOf(runtime);
  const closed = vi.fn(async () => undefined);
  const sent = vi.fn();
  const connection = { context, close: closed, isOpen: false, isOver: false, isSuspended: false, sendPayload: sent };
  const renewal = { connection: null as never, expiring: null, isUnderWay: false, nextAtMs: 0, received: null };
  const user = makeUser({ name: "ada", expiresAt: runtime.wallClock() + 30_000 }, "token");
  const expiry = new IdentityExpiry(
    connection,
    { remote: { kind: "unix", path: "" }, tls: null } as never,
    renewal,
    user,
    {
      wallClock: () => runtime.wallClock(),
      userOf: async () => null,
      renewed: () => undefined,
      failed: () => undefined,
    },
  );
  const scheduled = vi.spyOn(context.wheel, "schedule");
  for (let ms = 0; ms < 29_000; ms += 100) await runtime.advance(100);
  expect(scheduled.mock.calls.length).toBeLessThan(3);
  expect([sent.mock.calls, closed.mock.calls]).toEqual([[], []]);
  await runtime.advance(1100);
  expect(closed).toHaveBeenCalledTimes(1);
  expiry.end();
});
