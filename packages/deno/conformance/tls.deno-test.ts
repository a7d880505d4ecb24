import { ErrorCode } from "@netconduit/core/adapter";
import { expect, test } from "vitest";
import { describeTls } from "../../../conformance/adapter/tls.suite.ts";
import { clientCertificate, refusal, serverTls, withListener } from "../../../conformance/adapter/tls-peers.ts";
import { denoAdapter } from "./test-support.ts";

describeTls(denoAdapter);

test("a client certificate together with another serverName is INVALID_CONFIG, because Deno can't", async () => {
  const tls = { ...clientCertificate("client"), serverName: "elsewhere.example" };
  const error = (await refusal(denoAdapter, 1, tls)) as Error;
  expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  expect(error.message).toContain("tls.serverName");
});

test("a server learns of a client that does not trust it: TLS_UNTRUSTED", () =>
  withListener(denoAdapter, serverTls(), async ({ port, failed }) => {
    await refusal(denoAdapter, port, {});
    expect(await failed()).toMatchObject({ code: ErrorCode.TLS_UNTRUSTED });
  }));
