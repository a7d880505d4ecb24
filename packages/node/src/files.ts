import { createHash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import { type FileAccess, FileTurns, filesInTurns, nodeFiles, TIME_SLICE_MS } from "@netconduit/core/adapter";

// Kept, because fake timers replace the global ones.
const { performance, setImmediate } = globalThis;

/** In each turn of the event loop, continuations of file operations take as long as one connection may. */
const turns = new FileTurns({
  now: () => performance.now(),
  turnMs: TIME_SLICE_MS,
  nextTurn: (task) => void setImmediate(task),
  nextTick,
});

export const files: FileAccess = nodeFiles(filesInTurns(fileSystem, turns), path, createHash);
