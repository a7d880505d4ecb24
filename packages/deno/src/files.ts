import { createHash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import { type FileAccess, FileTurns, filesInTurns, nodeFiles } from "@netconduit/core/adapter";
import { afterPause } from "./turns.ts";

const { performance } = globalThis;

/**
 * As long as operations on files come to an end in each turn, Deno looks at its sockets only every 61st time: beside ten
 * lists of 1,000 files, calls took up to 105 ms. A pause takes 1 to 2 ms, so it is worth as much.
 */
const turns = new FileTurns({
  now: () => performance.now(),
  turnMs: 2,
  nextTurn: afterPause,
  nextTick,
});

export const files: FileAccess = nodeFiles(filesInTurns(fileSystem, turns), path, createHash);
