import { describe, expect, test } from "vitest";
import type { Contract } from "../rpc/contract.ts";
import { apiOf, type OpenApi } from "./api.ts";

/** Returns an API whose calls resolve with their arguments. */
function recorded(): { readonly calls: unknown[][]; readonly api: OpenApi } {
  const calls: unknown[][] = [];
  const api = apiOf<Contract, "server">(async (...args) => {
    calls.push(args);
    return args;
  });
  return { calls, api };
}

describe("an API", () => {
  test("calls methods by their names, nested by dots, with parameters and options", async () => {
    const { api } = recorded();
    const options = { timeoutMs: 5 };
    expect(await api["add"]?.({ a: 1 })).toEqual(["add", { a: 1 }, undefined]);
    expect(await api["users"]?.["list"]?.({ limit: 10 }, options)).toEqual(["users.list", { limit: 10 }, options]);
    expect(await api["a"]?.["b"]?.["c"]?.()).toEqual(["a.b.c", undefined, undefined]);
  });

  test("has methods whose names others begin with", async () => {
    const { api } = recorded();
    const users = api["users"];
    expect(await users?.()).toEqual(["users", undefined, undefined]);
    expect(await users?.["list"]?.()).toEqual(["users.list", undefined, undefined]);
  });

  test("has methods that are named as properties of functions are", async () => {
    const { api } = recorded();
    for (const name of ["name", "length", "call", "apply", "bind", "constructor", "prototype"]) {
      expect(await api["users"]?.[name]?.()).toEqual([`users.${name}`, undefined, undefined]);
    }
  });

  test("can be awaited, printed and converted without a call", async () => {
    const { calls, api } = recorded();
    const { users } = api;
    expect(await api).toBe(api);
    expect(await users).toBe(users);
    expect(JSON.stringify({ api, users })).toBe('{"api":{}}');
    expect(Object.keys(api)).toEqual([]);
    expect(() => String(users)).toThrow(TypeError);
    expect(calls).toEqual([]);
  });

  test("has no symbols", () => {
    const { api } = recorded();
    expect(Reflect.get(api, Symbol.iterator)).toBeUndefined();
    expect(Reflect.get(api["users"] ?? {}, Symbol.toPrimitive)).toBeUndefined();
  });

  test("cannot be assigned to", () => {
    const { api } = recorded();
    expect(() => Object.assign(api, { add: 1 })).toThrow(TypeError);
  });
});
