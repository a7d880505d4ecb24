import { ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { NatsOperator } from "./nats-jwt.ts";
import { describeScenes, room } from "./scene.ts";

const USERS = 'authorization { users: [ { user: "fleet", password: "right" } ] }';

function tlsConfig(certificate: string): string {
  const [cert, key] = [testFile(`${certificate}.crt`), testFile(`${certificate}.key`)];
  return `tls { cert_file: "${cert}", key_file: "${key}" }`;
}

/** Logins that NATS accepts, and a node's errors for those that it rejects. */
export function describeNatsLogins(nats: NatsInstallation): void {
  describeScenes("logins at NATS", nats, (scene) => {
    test("a node logs in with user name and password", async () => {
      const { url } = await scene().server({ config: USERS });
      const a = await scene().node("a", { servers: url, user: "fleet", pass: "right" });
      expect(a.link.state).toBe("connected");
    });

    test.each([{}, { user: "fleet", pass: "wrong" }, { token: "none" }])(
      "a node with the login %j fails to start, and the error names the options to check",
      async (login) => {
        const { url } = await scene().server({ config: USERS });
        await expect(scene().node("a", { servers: url, ...login })).rejects.toMatchObject({
          code: ErrorCode.AUTH_FAILED,
          message: expect.stringContaining("check the options user and pass, token, credentials or nkeySeed"),
        });
      },
    );

    test("a node whose credentials expire calls its function for new ones and continues", async () => {
      const operator = new NatsOperator();
      const { url } = await scene().server({ config: operator.config, hasJetStream: false });
      const given = [operator.credentials(2)];
      const a = await scene().node("a", { servers: url, credentials: () => given.shift() ?? operator.credentials() });
      const b = await scene().node("b", { servers: url, credentials: operator.credentials() });
      const heard = await a.listen(room);
      expect(await a.until("reconnecting")).toMatchObject({
        code: ErrorCode.AUTH_FAILED,
        message: expect.stringContaining("(User Authentication Expired)"),
      });
      await a.until("connected");
      b.send(room, "hello");
      expect(await heard.next()).toBe("hello");
    });

    test("a node whose credentials stay expired reports that and keeps retrying", async () => {
      const operator = new NatsOperator();
      const nats = await scene().server({ config: operator.config, hasJetStream: false });
      const a = await scene().node("a", { servers: nats.url, credentials: operator.credentials(2) });
      await a.until("reconnecting");
      for (let attempts = 0; attempts < 3; attempts += 1) {
        expect(await a.states.next()).toMatchObject({ state: "reconnecting", code: ErrorCode.AUTH_FAILED });
      }
    });

    test("a node connects to NATS over TLS if it trusts the certificate's CA", async () => {
      const { port } = await scene().server({ config: tlsConfig("server") });
      const options = { servers: `tls://localhost:${port}`, tls: { caFile: testFile("ca.crt") } };
      const [a, b] = [await scene().node("a", options), await scene().node("b", options)];
      const heard = await b.listen(room);
      a.send(room, "secret");
      expect(await heard.next()).toBe("secret");
    });

    test("the certificate of a NATS server given by IP address must match that address", async () => {
      const [good, wrong] = [
        await scene().server({ config: tlsConfig("address") }),
        await scene().server({ config: tlsConfig("common-name") }),
      ];
      const optionsFor = (host: string, { port }: { port: number }) => ({
        servers: `tls://${host}:${port}`,
        tls: { caFile: testFile("ca.crt") },
      });
      const a = await scene().node("a", optionsFor("127.0.0.1", good));
      expect(a.link.state).toBe("connected");
      const isWrong = { code: ErrorCode.TLS_WRONG_NAME };
      await expect(scene().node("b", optionsFor("127.0.0.1", wrong))).rejects.toMatchObject(isWrong);
      await expect(scene().node("b", optionsFor("localhost", good))).rejects.toMatchObject(isWrong);
    });

    test("a NATS server with an untrusted certificate is rejected", async () => {
      const { port } = await scene().server({ config: tlsConfig("other") });
      const options = { servers: `tls://localhost:${port}`, tls: { caFile: testFile("ca.crt") } };
      await expect(scene().node("a", options)).rejects.toMatchObject({ code: ErrorCode.TLS_UNTRUSTED });
    });

    test("a node that requires TLS rejects a NATS server without it", async () => {
      const { port } = await scene().server();
      await expect(scene().node("a", { servers: `tls://localhost:${port}` })).rejects.toMatchObject({
        code: ErrorCode.TLS_NOT_TLS,
        message: expect.stringContaining("configure it there, or leave out the option tls"),
      });
    });
  });
}
