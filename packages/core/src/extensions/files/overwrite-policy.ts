/** What happens to a file whose name is taken. */
export type OverwritePolicy = "fail" | "replace" | "rename";

const POLICIES: readonly unknown[] = ["fail", "replace", "rename"];
export const POLICY_RULE = 'must be "fail", "replace" or "rename"';

export function isOverwritePolicy(value: unknown): boolean {
  return POLICIES.includes(value);
}
