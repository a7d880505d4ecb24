import { TIME_SLICE_MS } from "../limits.ts";
import type { NodeFileSystem } from "./node-files.ts";

/** The event loop that operations on files share with all else. */
export interface FileTurnsHost {
  /** Milliseconds on a monotonic clock. */
  now(): number;
  /** So long may operations that end one after the other, with what follows them, hold up others. */
  readonly turnMs: number;
  /** Runs a task when others have had their turns. */
  nextTurn(task: () => void): void;
  /** Called from a microtask: runs a task once no microtask is left. */
  nextTick(task: () => void): void;
}

const settled = Promise.resolve();

/**
 * Bounds how long operations on files hold up others. Those that have ended continue one after the other, each when what
 * follows the one before is done, and in a later turn once the time is over.
 *
 * Without that, threads end operations while what follows earlier ones is done, so turns grow.
 */
export class FileTurns {
  readonly #host: FileTurnsHost;
  /** Operations that have ended, in order. */
  readonly #ended = new Set<() => void>();
  /** Whether what follows an operation is not done yet, or a later turn was asked for. */
  #isBusy = false;
  #startedAtMs = 0;
  /** When nothing was left to do. */
  #idleSinceMs = Number.NEGATIVE_INFINITY;

  constructor(host: FileTurnsHost) {
    this.#host = host;
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } finally {
      await new Promise<void>((resolve) => this.#add(resolve));
    }
  }

  #add(ended: () => void): void {
    this.#ended.add(ended);
    if (this.#isBusy) return;
    this.#isBusy = true;
    const nowMs = this.#host.now();
    // Others had their turns in such a time.
    if (nowMs - this.#idleSinceMs >= TIME_SLICE_MS) this.#startedAtMs = nowMs;
    this.#continueOne();
  }

  readonly #begin = (): void => {
    this.#startedAtMs = this.#host.now();
    this.#continueOne();
  };

  readonly #continueOne = (): void => {
    const nowMs = this.#host.now();
    const [next] = this.#ended;
    if (next === undefined) {
      this.#isBusy = false;
      this.#idleSinceMs = nowMs;
    } else if (nowMs - this.#startedAtMs >= this.#host.turnMs) this.#host.nextTurn(this.#begin);
    else {
      this.#ended.delete(next);
      next();
      // A tick that a microtask asks for comes after all microtasks, so after what follows the operation.
      void settled.then(() => this.#host.nextTick(this.#continueOne));
    }
  };
}

/** The operations of a file system, which share the event loop by `turns`. */
export function filesInTurns(fs: NodeFileSystem, turns: FileTurns): NodeFileSystem {
  const run = <T>(operation: () => Promise<T>): Promise<T> => turns.run(operation);
  return {
    constants: fs.constants,
    async open(path, flags, mode) {
      const file = await run(() => fs.open(path, flags, mode));
      return {
        stat: (options) => run(() => file.stat(options)),
        read: (target, offset, length, position) => run(() => file.read(target, offset, length, position)),
        write: (bytes, offset, length, position) => run(() => file.write(bytes, offset, length, position)),
        truncate: (bytes) => run(() => file.truncate(bytes)),
        sync: () => run(() => file.sync()),
        close: () => run(() => file.close()),
      };
    },
    lstat: (path, options) => run(() => fs.lstat(path, options)),
    stat: (path, options) => run(() => fs.stat(path, options)),
    readdir: (path) => run(() => fs.readdir(path)),
    mkdir: (path, options) => run(() => fs.mkdir(path, options)),
    rmdir: (path) => run(() => fs.rmdir(path)),
    link: (path, name) => run(() => fs.link(path, name)),
    rename: (path, name) => run(() => fs.rename(path, name)),
    unlink: (path) => run(() => fs.unlink(path)),
  };
}
