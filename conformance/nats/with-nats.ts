import { describe, test } from "vitest";
import { findNatsServer, HOW_TO_GET_NATS, type NatsInstallation } from "../../scripts/lib/nats-server.ts";

/**
 * Describes tests that need a nats-server. Without one they are skipped with the reason in the title; with
 * NETCONDUIT_NATS=required they fail instead.
 */
export async function describeWithNats(title: string, body: (nats: NatsInstallation) => void): Promise<void> {
  const nats = await findNatsServer();
  if (nats !== null) {
    describe(title, () => body(nats));
    return;
  }
  const isRequired = process.env["NETCONDUIT_NATS"] === "required";
  describe.skipIf(!isRequired)(`${title} (${isRequired ? "required" : "skipped"}: no nats-server)`, () => {
    test("nats-server can be run", () => {
      throw new Error(HOW_TO_GET_NATS);
    });
  });
}
