import { createHash } from "node:crypto";
import * as fileSystem from "node:fs/promises";
import * as path from "node:path";
import { nextTick } from "node:process";
import { type FileAccess, FileTurns, filesInTurns, nodeFiles } from "@netconduit/core/adapter";
import { afterPause } from "./turns.ts";

const { performance } = globalThis;

/**
 * While file operations complete in each turn, Deno polls its sockets only every 61st time: calls during ten lists of
 * 1,000 files took up to 105 ms. A pause takes 1 to 2 ms, so a turn may take as long.
 */
const turns = new FileTurns({
  now: () => performance.now(),
  turnMs: 2,
  nextTurn: afterPause,
  nextTick,
});

export const files: FileAccess = nodeFiles(filesInTurns(fileSystem, turns), path, createHash);
