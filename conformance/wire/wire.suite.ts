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

/** Longer than a check may take, which says more about what is missing. */
const PATIENT = { timeout: 60_000 };

/** A machine without a network has no address but the loopback's. */
const hasOutside = outsideAddress() !== null;

/** The ways in which runtimes differ here. */
export interface WireAbilities {
  /** A TLS server can ask for client certificates. */
  readonly clientCertificates: boolean;
}

/** The sentences of PROTOCOL.md, checked on a runtime's server and client over TCP. None may be skipped. */
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

/** A client that acts as README.md says. */
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
    // Many checks refuse the login, or what is sent behind it.
    const done = runClient(client).catch(() => {});
    return async () => {
      await client.disconnect();
      await done;
    };
  };
}
