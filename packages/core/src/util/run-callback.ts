/**
 * Runs a callback of the application, which may be asynchronous. `failed` gets what it throws or rejects with.
 * @returns when it has finished, which never rejects; null if it isn't asynchronous
 */
export function runCallback(callback: () => unknown, failed: (error: unknown) => void): Promise<unknown> | null {
  try {
    const result = callback();
    // A promise of another realm is no instance of this one's Promise.
    return typeof result === "object" && result !== null ? Promise.resolve(result).catch(failed) : null;
  } catch (error) {
    failed(error);
    return null;
  }
}
