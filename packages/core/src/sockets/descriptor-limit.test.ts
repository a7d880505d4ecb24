import { expect, test } from "vitest";
import { descriptorLimit, maxSocketsFor } from "./descriptor-limit.ts";

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             128445               128445               processes
Max open files            400                  20000                files
`;
const reporting = (soft: unknown) => ({ getReport: () => ({ userLimits: { open_files: { soft } } }) });
const failing = () => Promise.reject(new Error("ENOENT"));

test("the limit is the soft one that /proc names, or else that of the report", async () => {
  expect(await descriptorLimit(async () => LIMITS, reporting(7))).toBe(400);
  expect(await descriptorLimit(failing, reporting(256))).toBe(256);
});

test("no limit, and one that is unknown, is null", async () => {
  expect(await descriptorLimit(async () => LIMITS.replace("400", "unlimited"), reporting(7))).toBeNull();
  expect(await descriptorLimit(failing, reporting("unlimited"))).toBeNull();
  expect(await descriptorLimit(failing)).toBeNull();
});

test("connections leave descriptors to the process, and there is always room for one", () => {
  expect([400, 1024, 20_000, 8].map(maxSocketsFor)).toEqual([294, 793, 15_974, 1]);
});
