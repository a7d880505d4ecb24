import { describe, expect, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import type { Subject } from "../support/subject.ts";
import type { Check } from "./check.ts";
import { clientChecks } from "./client-checks.ts";
import { byCertificate, reconnecting, runClient } from "./client-program.ts";
import { ClientUnderTest, PASSWORD, type StartClient, TOKEN } from "./client-under-test.ts";
import { outsideAddress } from "./outside.ts";
import { runCheck } from "./run-check.ts";
import { serverChecks } from "./server-checks.ts";
import { startServer } from "./server-program.ts";
import { ServerUnderTest } from "./server-under-test.ts";

/** Longer than a check's own time limit, whose message describes what is missing. */
const PATIENT = { timeout: 60_000 };

/** A machine without a network only has the loopback address. */
const hasOutside = outsideAddress() !== null;

/** Differences between runtimes that matter here. */
export interface WireAbilities {
  /** A TLS server can request client certificates. */
  readonly clientCertificates: boolean;
}

/** Checks the sentences of PROTOCOL.md on a runtime's server and client over TCP. None may be skipped. */
export function describeWire(subject: Subject, { clientCertificates }: WireAbilities): void {
  describe(`PROTOCOL.md on a server of ${subject.name}`, PATIENT, () => {
    const runnable = serverChecks.filter(({ tls }) => tls === undefined || clientCertificates);
    for (const check of runnable) {
      test.skipIf(check.outside === true && !hasOutside)(`${check.section}: ${check.sentence}`, async () => {
        const server = await startServer(subject, check);
        const outcome = await runCheck(check, new ServerUnderTest(server.address));
        await server.stop();
        expect(outcome).toMatchObject({ result: "pass", reason: "" });
      });
    }
  });

  describe(`PROTOCOL.md on a client of ${subject.name}`, PATIENT, () => {
    for (const check of clientChecks) {
      test.skipIf(check.outside === true && !hasOutside)(`${check.section}: ${check.sentence}`, async () => {
        const outcome = await runCheck(check, new ClientUnderTest(starter(subject, check.options)));
        expect(outcome).toMatchObject({ result: "pass", reason: "" });
      });
    }
  });
}

/** Returns a function that starts the client described in README.md. */
function starter({ Client }: Subject, options: Check<ClientUnderTest>["options"]): StartClient {
  return async (port, acts) => {
    const login = acts.token === true ? { credentials: () => ({ token: TOKEN }) } : { password: PASSWORD };
    const client = new Client({
      ...(acts.certificate === true ? byCertificate(testFile(".")) : login),
      host: acts.host ?? "127.0.0.1",
      port,
      ...reconnecting(acts.resumes === true),
      ...options,
    });
    client.onError(() => {});
    // Many checks reject the login or what follows it.
    const done = runClient(client).catch(() => {});
    return async () => {
      await client.disconnect();
      await done;
    };
  };
}
