import { ConduitError, ErrorCode } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";

/** Longest name of a topic, in UTF-16 units. */
export const MAX_TOPIC_CHARS = 256;

export function isTopicName(name: unknown): name is string {
  return typeof name === "string" && name.length > 0 && name.length <= MAX_TOPIC_CHARS && !/\p{Surrogate}/u.test(name);
}

/** @throws ConduitError INVALID_CONFIG unless the value is the name of a topic, or of a pattern */
export function checkTopicName(name: unknown): asserts name is string {
  if (isTopicName(name)) return;
  const message = `The name of a topic must be a string of 1 to ${MAX_TOPIC_CHARS} characters, got ${describeValue(name)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** Whether a name matches a pattern, in which `*` stands for one or more characters. */
export function fitsPattern(name: string, pattern: string): boolean {
  const star = pattern.indexOf("*");
  if (name.length < pattern.length) return false;
  return name.startsWith(pattern.slice(0, star)) && name.endsWith(pattern.slice(star + 1));
}
