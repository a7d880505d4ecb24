/** Longest name of a topic, in UTF-16 units. */
export const MAX_TOPIC_CHARS = 256;

export function isTopicName(name: unknown): name is string {
  return typeof name === "string" && name.length > 0 && name.length <= MAX_TOPIC_CHARS && !/\p{Surrogate}/u.test(name);
}

/** Whether a name matches a pattern, in which `*` stands for one or more characters. */
export function fitsPattern(name: string, pattern: string): boolean {
  const star = pattern.indexOf("*");
  if (name.length < pattern.length) return false;
  return name.startsWith(pattern.slice(0, star)) && name.endsWith(pattern.slice(star + 1));
}
