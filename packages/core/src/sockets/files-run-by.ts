import type { NodeFileSystem } from "./node-files.ts";

type Run = <T>(operation: () => Promise<T>) => Promise<T>;

/** Hands each operation on files to `run`, and each that waits for the disk to `sync`. */
export function filesRunBy(fs: NodeFileSystem, { run, sync }: { run: Run; sync: Run }): NodeFileSystem {
  return {
    constants: fs.constants,
    async open(path, flags, mode) {
      const file = await run(() => fs.open(path, flags, mode));
      return {
        stat: (options) => run(() => file.stat(options)),
        read: (target, offset, length, position) => run(() => file.read(target, offset, length, position)),
        write: (bytes, offset, length, position) => run(() => file.write(bytes, offset, length, position)),
        truncate: (bytes) => run(() => file.truncate(bytes)),
        sync: () => sync(() => file.sync()),
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
