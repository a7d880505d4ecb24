import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { type MessageEntry, type MethodEntry, Registry } from "./registry.ts";

function method(name: string): MethodEntry<unknown> {
  const info = { name, description: "", parameters: {}, return_type: "any", requires_auth: true };
  return { info, describeToNetconduit: () => ({ a: "int" }), params: null, result: null, handler: () => null };
}

function handler(type: string): MessageEntry<unknown> {
  return { type, data: null, takesPeer: true, handler: () => null };
}

describe("methods", () => {
  test("are found by their name until they are removed", () => {
    const registry = new Registry();
    const entry = method("m");
    const remove = registry.addMethod(entry);
    expect(registry.method("m")).toBe(entry);
    remove();
    expect(registry.method("m")).toBeUndefined();
  });

  test("cannot be registered twice", () => {
    const registry = new Registry();
    registry.addMethod(method("m"));
    const again = expect.objectContaining({ code: ErrorCode.INVALID_STATE, message: expect.stringContaining("'m'") });
    expect(() => registry.addMethod(method("m"))).toThrow(again);
  });

  test("cannot be called listall, which answers discovery", () => {
    const taken = expect.objectContaining({ code: ErrorCode.INVALID_STATE });
    expect(() => new Registry().addMethod(method("listall"))).toThrow(taken);
  });

  test("are removed once: the remover of an earlier one leaves a later one alone", () => {
    const registry = new Registry();
    const remove = registry.addMethod(method("m"));
    remove();
    const second = method("m");
    registry.addMethod(second);
    remove();
    expect(registry.method("m")).toBe(second);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])("no method is called %s by itself", (name) => {
    const registry = new Registry();
    expect([registry.method(name), registry.handlers(name)]).toEqual([undefined, undefined]);
    registry.addMethod(method(name));
    expect(registry.method(name)?.info.name).toBe(name);
  });

  test("are listed with their count, in the order in which they were registered", () => {
    const registry = new Registry();
    for (const name of ["b", "a"]) registry.addMethod(method(name));
    expect(registry.discovery()).toEqual({ methods: [method("b").info, method("a").info], count: 2 });
    expect(registry.discovery()).toBe(registry.discovery());
  });

  test("are listed for netconduit with their own description of parameters, until the next change", () => {
    const registry = new Registry();
    const remove = registry.addMethod(method("a"));
    const methods = [{ ...method("a").info, parameters: { a: "int" } }];
    expect(registry.netconduitDiscovery()).toEqual({ methods, count: 1 });
    expect(registry.netconduitDiscovery()).toBe(registry.netconduitDiscovery());
    remove();
    expect(registry.netconduitDiscovery()).toEqual({ methods: [], count: 0 });
  });
});

describe("message handlers", () => {
  test("of one type are kept in order, and removed one by one", () => {
    const registry = new Registry();
    const [first, second] = [handler("t"), handler("t")];
    const removeFirst = registry.addHandler(first);
    const removeSecond = registry.addHandler(second);
    expect(registry.handlers("t")).toEqual([first, second]);
    removeFirst();
    removeFirst();
    expect(registry.handlers("t")).toEqual([second]);
    removeSecond();
    expect(registry.handlers("t")).toBeUndefined();
    removeSecond();
    expect(registry.handlers("t")).toBeUndefined();
  });

  test("added or removed while a list is run do not change that list", () => {
    const registry = new Registry();
    const remove = registry.addHandler(handler("t"));
    const list = registry.handlers("t");
    registry.addHandler(handler("t"));
    remove();
    expect(list).toHaveLength(1);
  });
});
