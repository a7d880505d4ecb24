import { describe, expect, test } from "vitest";
import { scramVerifier } from "../auth/verifier.ts";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { FEW_ITERATIONS, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, rawDial } from "../test-support/raw-memory.ts";

const ADA = { password: "lovelace", roles: ["admin"], claims: { team: "engines" } };

describe("a server with users", () => {
  test("knows who logged in", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { users: { ada: ADA } });
    await testClient(runtime, { username: "ada", password: "lovelace" }).client.connect();
    const [connection] = server.connections;
    expect(connection?.user).toEqual({ name: "ada", roles: ["admin"], method: "scram", claims: { team: "engines" } });
    expect(connection?.session.method).toBe("scram");
  });

  test.each(["a,b=c", "=2C", "Ωmega 7", "ada@example.org"])("takes the name %j", async (name) => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { users: { [name]: { password: "right" } } });
    await testClient(runtime, { username: name, password: "right" }).client.connect();
    expect(server.connections[0]?.user.name).toBe(name);
  });

  test("takes a verifier alone for a user without roles, from the option and setUser", async () => {
    const runtime = fakeRuntime();
    const verifier = await scramVerifier("babbage", runtime, { iterations: FEW_ITERATIONS });
    const { server } = await testServer(runtime, { users: { charles: verifier } });
    await server.setUser("luigi", verifier);
    for (const username of ["charles", "luigi"]) {
      await testClient(runtime, { username, password: "babbage" }).client.connect();
    }
    expect(server.connections.map(({ user }) => [user.name, user.roles])).toEqual([
      ["charles", []],
      ["luigi", []],
    ]);
  });

  test("refuses a password where a user's options or verifier belong, and doesn't show it", async () => {
    const users = { ada: "lovelace" };
    const refused = (owner: string): object => ({
      code: ErrorCode.INVALID_CONFIG,
      message:
        `Invalid option users.ada of ${owner}: must be a text made by scramVerifier(password), or an object with ` +
        "password or verifier, got a string",
    });
    await expect(testServer(fakeRuntime(), { users })).rejects.toMatchObject(refused("the server"));
    const { server } = await testServer(fakeRuntime(), { users: {} });
    await expect(server.setUser("ada", "lovelace")).rejects.toMatchObject(refused("server.setUser()"));
  });

  test("lets clients with the shared password in as nobody", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { users: { ada: ADA } });
    await testClient(runtime).client.connect();
    expect(server.connections[0]?.user).toEqual({ name: "", roles: [], method: "scram", claims: {} });
  });

  test("and without a shared password lets users in, and nobody else", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { password: undefined, users: { ada: ADA } });
    await testClient(runtime, { username: "ada", password: "lovelace" }).client.connect();
    await expect(testClient(runtime).client.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect(server.connectionCount).toBe(1);
  });

  test.each([
    ["a wrong password", "ada", "byron"],
    ["the shared password", "ada", "secret"],
    ["a name that doesn't exist", "eve", "lovelace"],
  ])("refuses %s with the same answer", async (_, username, password) => {
    const runtime = fakeRuntime();
    await testServer(runtime, { users: { ada: ADA } });
    const { client } = testClient(runtime, { username, password, reconnect: { enabled: false } });
    await expect(client.connect()).rejects.toMatchObject({
      code: ErrorCode.AUTH_FAILED,
      message: expect.stringContaining("Invalid password (server test:8080; check the options username and password)"),
    });
  });

  test("asks a function for users, and takes those that it lists before that", async () => {
    const runtime = fakeRuntime();
    const verifier = await scramVerifier("babbage", runtime, { iterations: FEW_ITERATIONS });
    const asked: string[] = [];
    const scram = async (name: string) => {
      asked.push(name);
      return name === "charles" ? { verifier, roles: ["guest"] } : null;
    };
    const { server } = await testServer(runtime, { users: { ada: ADA }, authenticate: { scram } });
    await testClient(runtime, { username: "charles", password: "babbage" }).client.connect();
    await testClient(runtime, { username: "ada", password: "lovelace" }).client.connect();
    expect(server.connections.map(({ user }) => user.roles)).toEqual([["guest"], ["admin"]]);
    expect(asked).toEqual(["charles", "ada"]);
  });

  test("tells a client nothing of the failure of that function, and reports it", async () => {
    const runtime = fakeRuntime();
    const scram = () => Promise.reject(new Error("database password is hunter2"));
    const { errors } = await testServer(runtime, { authenticate: { scram } });
    const { client } = testClient(runtime, { username: "ada", password: "x", reconnect: { enabled: false } });
    await expect(client.connect()).rejects.toThrow("Internal server error");
    expect(errors).toMatchObject([{ stage: "login", name: "authenticate", message: "database password is hunter2" }]);
  });

  test("sends AUTH_SUCCESS to a client without a name as a server without users does", async () => {
    const answers: string[][] = [];
    for (const users of [undefined, { ada: ADA }]) {
      const runtime = fakeRuntime();
      const { port } = await testServer(runtime, { users });
      const peer = await rawDial(runtime, port);
      answers.push(Object.keys(await peer.login({ password: PASSWORD })));
    }
    expect(answers[1]).toEqual(answers[0]);
  });
});
