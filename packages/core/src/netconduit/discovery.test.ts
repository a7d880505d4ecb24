import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { parseDiscovery } from "./discovery.ts";

const method = { name: "m", description: "", parameters: {}, return_type: "Any", requires_auth: true };
const typeOf = (return_type: unknown): string | undefined =>
  parseDiscovery({ methods: [{ ...method, return_type }] })[0]?.returnType;

describe("the result of listall", () => {
  test("is converted to a list of methods with TypeScript's names", () => {
    const add = {
      name: "add",
      description: "Adds",
      parameters: { a: "float", note: "str | None" },
      return_type: "int",
      requires_auth: false,
    };
    expect(parseDiscovery({ methods: [add], count: 1 })).toEqual([
      {
        name: "add",
        description: "Adds",
        parameters: { a: "number", note: "string | null" },
        returnType: "number",
        requiresAuth: false,
      },
    ]);
  });

  test.each([
    ["str", "string"],
    ["int", "number"],
    ["float", "number"],
    ["bool", "boolean"],
    ["bytes", "Uint8Array"],
    ["datetime", "Date"],
    ["list", "unknown[]"],
    ["dict", "object"],
    ["None", "null"],
    ["Any", "unknown"],
    ["int | float | None", "number | null"],
    ["UserResponse", "UserResponse"],
    ["dict[str, int | None]", "dict[str, int | None]"],
    ["toString", "toString"],
    [7, "unknown"],
    [undefined, "unknown"],
  ])("names the type %j %j", (python, typeScript) => {
    expect(typeOf(python)).toBe(typeScript);
  });

  test("may leave out everything but the name", () => {
    expect(parseDiscovery({ methods: [{ name: "m" }] })).toEqual([
      { name: "m", description: "", parameters: {}, returnType: "unknown", requiresAuth: true },
    ]);
  });

  test.each([null, 5, {}, { methods: "none" }, { methods: [null] }, { methods: [{ ...method, name: 7 }] }])(
    "is refused if it is %j",
    (answer) => {
      const refusal = expect.objectContaining({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
      expect(() => parseDiscovery(answer)).toThrow(refusal);
    },
  );
});
