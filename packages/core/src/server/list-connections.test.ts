import { describe, expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";

describe("listConnections()", () => {
  test.each([0, 1.5, -1, 1e9])("with a limit of %d is INVALID_CONFIG", async (limit) => {
    const { server } = await testServer(fakeRuntime());
    await expect(server.listConnections({ limit })).rejects.toMatchObject({
      codeName: "INVALID_CONFIG",
      message: expect.stringContaining(`got ${limit}`),
    });
  });

  test("gives pages until the last connection", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    for (const name of ["a", "b", "c"]) await testClient(runtime, { name }).client.connect();
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const page = await server.listConnections({ limit: 2, ...(after === undefined ? {} : { after }) });
      ids.push(...page.connections.map(({ id }) => id));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(new Set(ids)).toEqual(new Set(server.connections.map(({ id }) => id)));
    expect(ids).toHaveLength(3);
  });
});

test("client.use() without a function is INVALID_CONFIG, and says what it takes", () => {
  const { client } = testClient(fakeRuntime());
  expect(() => client.use("log" as never)).toThrow(
    expect.objectContaining({ codeName: "INVALID_CONFIG", message: expect.stringContaining("use() takes a function") }),
  );
});
