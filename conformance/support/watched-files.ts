import type { Runtime } from "@netconduit/core/adapter";

/** A runtime that counts the bytes read from files, excluding the state of unfinished files. */
export interface WatchedFiles {
  readonly runtime: Runtime;
  bytesRead: number;
}

/** @param beforeRead called with the position before each read; the read waits for its result */
export function watchedFiles(
  runtime: Runtime,
  beforeRead: (position: number) => Promise<unknown> | null = () => null,
): WatchedFiles {
  const { files } = runtime;
  if (files === undefined) throw new Error("The runtime has no files");
  const watched: WatchedFiles = {
    bytesRead: 0,
    runtime: {
      ...runtime,
      files: {
        ...files,
        async open(path, mode) {
          const file = await files.open(path, mode);
          if (path.endsWith(".json")) return file;
          const read = file.read.bind(file);
          file.read = async (target, position) => {
            await beforeRead(position);
            const count = await read(target, position);
            watched.bytesRead += count;
            return count;
          };
          return file;
        },
      },
    },
  };
  return watched;
}
