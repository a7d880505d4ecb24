const settled: Promise<void> = Promise.resolve();

export function inMicrotask(task: () => void): void {
  void settled.then(task);
}
