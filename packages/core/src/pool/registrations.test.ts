import { expect, test } from "vitest";
import { Registrations } from "./registrations.ts";

/** Clients are represented by lists of their names. */
function adder(name: string): (to: string[]) => () => void {
  return (to) => {
    if (to.includes(name)) throw new Error(`${name} is taken`);
    to.push(name);
    return () => to.splice(to.indexOf(name), 1);
  };
}

test("present and later clients have what was registered, until it is removed from all", () => {
  const registrations = new Registrations<string[]>();
  const present: string[] = [];
  const later: string[] = [];
  const remove = registrations.add([present], adder("x"));
  registrations.addAllTo(later);
  expect([present, later]).toEqual([["x"], ["x"]]);
  remove();
  remove();
  expect([present, later]).toEqual([[], []]);
  const last: string[] = [];
  registrations.addAllTo(last);
  expect(last).toEqual([]);
});

test("what one client refuses no client has", () => {
  const registrations = new Registrations<string[]>();
  const free: string[] = [];
  expect(() => registrations.add([free, ["x"]], adder("x"))).toThrow("x is taken");
  expect(free).toEqual([]);
  const later: string[] = [];
  registrations.addAllTo(later);
  expect(later).toEqual([]);
});

test("a client that is no longer used is forgotten", () => {
  const registrations = new Registrations<string[]>();
  const client: string[] = [];
  const remove = registrations.add([client], adder("x"));
  registrations.forget(client);
  remove();
  expect(client).toEqual(["x"]);
});
