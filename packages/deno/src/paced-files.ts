import type { NodeFileSystem } from "@netconduit/core/adapter";

/** An operation that takes longer doesn't hold up the others: on a network disk, many are carried out at a time. */
const PATIENCE_MS = 5;

/** Operations one after the other. */
export class Pace {
  readonly #waiting = new Set<() => void>();
  #isBusy = false;

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isBusy) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    this.#isBusy = true;
    let holds = true;
    const pass = (): void => {
      if (holds) this.#next();
      holds = false;
    };
    const timer = setTimeout(pass, PATIENCE_MS);
    try {
      return await operation();
    } finally {
      clearTimeout(timer);
      pass();
    }
  }

  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#isBusy = false;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/**
 * Carries out one operation at a time. As long as several come to an end in each turn, Deno looks at its sockets only every
 * 61st time: beside ten lists of 1,000 files, calls took 40 ms instead of 1.
 */
export function pacedFiles(fs: NodeFileSystem, pace: Pace = new Pace()): NodeFileSystem {
  return {
    constants: fs.constants,
    async open(path, flags, mode) {
      const file = await pace.run(() => fs.open(path, flags, mode));
      return {
        stat: (options) => pace.run(() => file.stat(options)),
        read: (target, offset, length, position) => pace.run(() => file.read(target, offset, length, position)),
        write: (bytes, offset, length, position) => pace.run(() => file.write(bytes, offset, length, position)),
        truncate: (bytes) => pace.run(() => file.truncate(bytes)),
        // It waits for the disk, so several at a time are faster.
        sync: () => file.sync(),
        close: () => pace.run(() => file.close()),
      };
    },
    lstat: (path, options) => pace.run(() => fs.lstat(path, options)),
    stat: (path, options) => pace.run(() => fs.stat(path, options)),
    readdir: (path) => pace.run(() => fs.readdir(path)),
    mkdir: (path, options) => pace.run(() => fs.mkdir(path, options)),
    rmdir: (path) => pace.run(() => fs.rmdir(path)),
    link: (path, name) => pace.run(() => fs.link(path, name)),
    rename: (path, name) => pace.run(() => fs.rename(path, name)),
    unlink: (path) => pace.run(() => fs.unlink(path)),
  };
}
