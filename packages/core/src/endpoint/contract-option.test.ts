import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ConduitError, ErrorCode } from "../errors.ts";
import { agreedOn, agreedResults, agreedTopic, parseContract } from "./contract-option.ts";

const text = v.string();

function refusal(contract: unknown): ConduitError {
  try {
    parseContract(contract as never, false, "the server");
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("The contract was accepted");
}

describe("parseContract", () => {
  test.each([
    ["nothing on either side", {}],
    ["sides with nothing in them", { server: {}, client: { methods: {}, messages: {} } }],
    ["parts that are undefined", { server: undefined, client: { methods: undefined } }],
    [
      "methods with all, some and no schemas",
      { server: { methods: { a: { params: z.object({}), result: text }, b: {} } } },
    ],
    ["a schema that is undefined", { server: { methods: { a: { params: undefined } } } }],
    ["folders", { server: { files: { reports: {}, photos: { roles: ["staff"] } } }, client: { files: { inbox: {} } } }],
    ["messages", { client: { messages: { a: text, constructor: z.string() } } }],
  ])("accepts %s, and gives it back", (_what, contract) => {
    expect(parseContract(contract as never, false, "the server")).toBe(contract);
  });

  test("takes undefined as no contract", () => {
    expect(parseContract(undefined, false, "the server")).toBeNull();
  });

  test.each([
    [null, "Invalid option contract of the server: must be an object, got null"],
    [[], "Invalid option contract of the server: must be an object, got an array"],
    [{ sever: {} }, "Unknown option contract.sever of the server; did you mean contract.server?"],
    [{ server: 5 }, "Invalid option contract.server of the server: must be an object, got 5"],
    [
      { server: { method: {} } },
      "Unknown option contract.server.method of the server; did you mean contract.server.methods?",
    ],
    [
      { client: { messages: "a" } },
      'Invalid option contract.client.messages of the server: must be an object, got "a"',
    ],
    [
      { client: { methods: { a: text } } },
      "Invalid option contract.client.methods.a of the server: must be an object with params and result, not a schema, got an object",
    ],
    [
      { client: { methods: { a: { param: text } } } },
      "Unknown option contract.client.methods.a.param of the server; did you mean contract.client.methods.a.params?",
    ],
    [
      { server: { methods: { a: { result: "string" } } } },
      'Invalid option contract.server.methods.a.result of the server: must implement Standard Schema v1 (valibot, zod, arktype, …), got "string"',
    ],
    [
      { server: { files: { reports: { role: ["staff"] } } } },
      "Unknown option contract.server.files.reports.role of the server; did you mean contract.server.files.reports.roles?",
    ],
    [
      { client: { files: { inbox: { roles: ["staff"] } } } },
      "Invalid option contract.client.files.inbox.roles of the server: must not be given for clients: a server has no roles, got an array",
    ],
    [
      { server: { messages: { a: { params: text } } } },
      "Invalid option contract.server.messages.a of the server: must implement Standard Schema v1 (valibot, zod, arktype, …), got an object",
    ],
    [
      { server: { messages: { a: undefined } } },
      "Invalid option contract.server.messages.a of the server: must implement Standard Schema v1 (valibot, zod, arktype, …), got undefined",
    ],
  ])("refuses %o and says why", (contract, message) => {
    expect(refusal(contract)).toMatchObject({ code: ErrorCode.INVALID_CONFIG, message });
  });

  test("names all problems at once", () => {
    const { message, details } = refusal({ server: { messages: { a: 1, b: 2 } }, clent: {} });
    expect(message).toMatch(/^3 problems in the options of the server:\n- /);
    expect(details?.["problems"]).toHaveLength(3);
  });
});

describe("agreedResults", () => {
  test("has a validator for each result with a schema", () => {
    const results = agreedResults({ methods: { a: { result: text }, b: { params: text } } });
    expect([...(results?.keys() ?? [])]).toEqual(["a"]);
    expect(results?.get("a")?.run("x", "a")).toBe("x");
    expect(() => results?.get("a")?.run(5, "a")).toThrow("Validation error in the result of a");
  });

  test.each([[undefined], [{}], [{ methods: { a: {} } }]])("is null without result schemas: %o", (side) => {
    expect(agreedResults(side)).toBeNull();
  });
});

describe("agreedOn", () => {
  test("knows the listed names, and none that objects inherit", () => {
    expect(agreedOn({ a: text }, "a")).toBe(text);
    expect(agreedOn({ a: text }, "b")).toBeUndefined();
    expect(agreedOn({ a: text }, "toString")).toBeUndefined();
    expect(agreedOn(undefined, "a")).toBeUndefined();
  });
});

describe("topics", () => {
  const rooms = v.number();
  const contract = { topics: { news: text, "room:*": rooms } };

  test("have the schema of their name, or that of the pattern that they fit", () => {
    expect([
      agreedTopic(contract, "news")?.schema,
      agreedTopic(contract, "room:7")?.schema,
      agreedTopic(contract, "room:*")?.schema,
    ]).toEqual([text, rooms, rooms]);
    for (const name of ["room:", "newest", "toString"]) expect(agreedTopic(contract, name)?.schema).toBeUndefined();
    expect(agreedTopic(null, "news")?.schema).toBeUndefined();
  });

  test("need a schema each", () => {
    expect(() => parseContract({ topics: { news: {} as never } }, false, "the server")).toThrow("contract.topics.news");
    expect(() => parseContract({ topic: { news: text } } as never, false, "the server")).toThrow("contract.topic");
  });
});
