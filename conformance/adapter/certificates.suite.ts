/** Server certificates that not every runtime accepts (see RUNTIMES.md). */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, onTestFinished, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { listenFailure } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";
import { ca, dial, pem, refusal, serverTls, withListener } from "./tls-peers.ts";

export function describeCertificates(subject: AdapterSubject): void {
  const { certificates } = subject.capabilities;

  describe(`${subject.name} and a server's certificate`, () => {
    const differing = [
      {
        what: "that has its name only as its CN",
        name: "common-name",
        trusted: "ca.crt",
        refusedWith: certificates.commonName ? null : ErrorCode.TLS_WRONG_NAME,
      },
      {
        what: "of a CA (CA:TRUE) that is trusted itself",
        name: "own-ca",
        trusted: "own-ca.crt",
        refusedWith: certificates.ofCa ? null : ErrorCode.TLS_UNTRUSTED,
      },
      {
        what: "whose intermediate CA alone is trusted",
        name: "chained",
        trusted: "intermediate.crt",
        refusedWith: certificates.intermediateAsRoot ? null : ErrorCode.TLS_UNTRUSTED,
      },
      {
        what: "behind seven intermediate CAs",
        name: "long-chain",
        trusted: "ca.crt",
        refusedWith: certificates.longChain ? null : ErrorCode.TLS_UNTRUSTED,
      },
      { what: "behind an intermediate CA", name: "chained", trusted: "ca.crt", refusedWith: null },
    ];
    for (const { what, name, trusted, refusedWith } of differing) {
      test(`${what}: ${refusedWith === null ? "connects" : "refused"}`, () =>
        withListener(subject, serverTls(name), async ({ port }) => {
          const outcome = await refusal(subject, port, { ca: testFile(trusted) });
          if (refusedWith === null) expect(outcome).toBe("connected");
          else expect(outcome).toMatchObject({ code: refusedWith });
        }));
    }

    test.skipIf(!certificates.rsa1024)("with an RSA key of 1,024 bits is accepted", () =>
      withListener(subject, serverTls("rsa-1024"), async ({ port }) => {
        expect(await refusal(subject, port, { ca })).toBe("connected");
      }),
    );

    test.skipIf(certificates.rsa1024)("with an RSA key of 1,024 bits is INVALID_CONFIG", async () => {
      const error = await listenFailure(subject, { host: "127.0.0.1", serverTls: serverTls("rsa-1024") });
      expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    });
  });

  test(`${subject.name} takes PEM files with a byte order mark, as certificate, key and CA`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "netconduit-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const marked = async (name: string): Promise<string> => {
      const path = join(folder, name);
      writeFileSync(path, `\uFEFF${await pem(name)}`);
      return path;
    };
    const tls = { cert: await marked("server.crt"), key: await marked("server.key") };
    const trusted = await marked("ca.crt");
    await withListener(subject, tls, async ({ port, accepted }) => {
      const client = await dial(subject, port, { ca: trusted });
      expect(client.tls?.peerVerified).toBe(true);
      (await accepted()).destroy(null);
      client.destroy(null);
    });
  });
}
