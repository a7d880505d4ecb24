import { CommandedProcess } from "../../conformance/support/commanded-process.ts";
import { executable, type RuntimeName, sourceArguments } from "../../docs-tests/lib/runtimes.ts";
import type { Side } from "./journal.ts";

/** A line that the process prints without being requested. */
export type Note = { readonly progress: number } | { readonly isDone: true };

/**
 * Starts chaos/peer.ts. Resolves when it accepts commands.
 * @param before a command that runs the program, for example `ip netns exec NAME`
 */
export async function startPeer(
  runtime: RuntimeName,
  side: Side,
  options: object,
  noted: (note: Note) => void,
  before: readonly string[] = [],
): Promise<CommandedProcess> {
  const program = [executable(runtime), ...sourceArguments(runtime), "chaos/peer.ts"];
  const command = [...before, ...program, runtime, side, JSON.stringify(options)];
  const peer = new CommandedProcess(command, (note) => noted(note as Note));
  await peer.ready;
  return peer;
}
