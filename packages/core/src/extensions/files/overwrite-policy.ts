/** How a transfer handles a name that is taken: it fails, replaces the file, or gets another name. */
export type OverwritePolicy = "fail" | "replace" | "rename";

const POLICIES: readonly unknown[] = ["fail", "replace", "rename"];
export const POLICY_RULE = 'must be "fail", "replace" or "rename"';

export function isOverwritePolicy(value: unknown): boolean {
  return POLICIES.includes(value);
}
