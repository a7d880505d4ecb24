import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fromNetconduitCode, toNetconduitCode } from "./error-codes.ts";

/** netconduit 5.0.0's `ErrorCode`. */
const NETCONDUIT: Readonly<Record<string, number>> = {
  UNKNOWN: 1000,
  INTERNAL: 1001,
  TIMEOUT: 1002,
  CANCELLED: 1003,
  VALIDATION: 2000,
  MISSING_FIELD: 2001,
  INVALID_TYPE: 2002,
  INVALID_VALUE: 2003,
  AUTH_REQUIRED: 3000,
  AUTH_FAILED: 3001,
  AUTH_EXPIRED: 3002,
  PERMISSION_DENIED: 3003,
  METHOD_NOT_FOUND: 4000,
  INVALID_PARAMS: 4001,
  EXECUTION_ERROR: 4002,
  CONNECTION_ERROR: 5000,
  DISCONNECTED: 5001,
  RECONNECTING: 5002,
  RATE_LIMITED: 6000,
  QUOTA_EXCEEDED: 6001,
};

const ours: ReadonlyMap<string, number> = new Map(Object.entries(ErrorCode));
const shared = Object.keys(NETCONDUIT).filter((name) => ours.has(name));

describe("error codes towards netconduit", () => {
  test.each(shared)("%s has netconduit's number", (name) => {
    expect(toNetconduitCode(ours.get(name) as number)).toBe(NETCONDUIT[name]);
  });

  test.each([
    ["NOT_FOUND", "METHOD_NOT_FOUND"],
    ["CONNECTION_CLOSED", "DISCONNECTED"],
    ["SERVER_STOPPING", "DISCONNECTED"],
  ])("%s is netconduit's %s", (name, netconduit) => {
    expect(toNetconduitCode(ours.get(name) as number)).toBe(NETCONDUIT[netconduit]);
  });

  test("a number of ours never means another of netconduit's", () => {
    const misread = [...ours].filter(([name, code]) => {
      const theirs = Object.entries(NETCONDUIT).find(([, number]) => number === toNetconduitCode(code))?.[0];
      return theirs !== undefined && theirs !== name;
    });
    expect(misread.map(([name]) => name)).toEqual(["NOT_FOUND", "CONNECTION_CLOSED", "SERVER_STOPPING"]);
  });

  test.each([0, -7, 402, 1002, 3003, 9000])("the application's number %d is sent as it is", (code) => {
    expect(toNetconduitCode(code)).toBe(code);
  });
});

describe("error codes from netconduit", () => {
  test.each(shared)("%s has our number", (name) => {
    expect(fromNetconduitCode(NETCONDUIT[name] as number)).toBe(ours.get(name));
  });

  test.each([
    ["AUTH_EXPIRED", ErrorCode.AUTH_REQUIRED],
    ["DISCONNECTED", ErrorCode.CONNECTION_CLOSED],
    ["INVALID_VALUE", 2003],
    ["EXECUTION_ERROR", 4002],
    ["RECONNECTING", 5002],
    ["QUOTA_EXCEEDED", 6001],
  ])("%s is our %d", (name, code) => {
    expect(fromNetconduitCode(NETCONDUIT[name] as number)).toBe(code);
  });

  test("the application's number arrives as it is", () => {
    expect(fromNetconduitCode(402)).toBe(402);
  });
});
