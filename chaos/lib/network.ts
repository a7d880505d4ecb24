/** Two network namespaces with a link that loses, delays and reorders packets. Needs Linux and root. */
import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import type { Side } from "./journal.ts";

const run = promisify(execFile);
const ADDRESSES: Readonly<Record<Side, string>> = { server: "10.231.77.1", client: "10.231.77.2" };
/** Name of the device in both namespaces. */
const DEVICE = "chaos0";
const SIDES: readonly Side[] = ["server", "client"];
/** Delays each packet, and loses, duplicates or reorders some. */
const NETEM = ["netem", "delay", "8ms", "6ms", "loss", "2%", "duplicate", "1%", "reorder", "10%"];
/** Without netem: a rate-limited link with a short queue that drops packets. */
const NARROW = ["tbf", "rate", "60mbit", "burst", "32kb", "limit", "24000"];

export class Network {
  /** Whether the kernel has netem. */
  readonly hasNetem: boolean;
  readonly #names: Readonly<Record<Side, string>>;

  private constructor(names: Readonly<Record<Side, string>>, hasNetem: boolean) {
    this.#names = names;
    this.hasNetem = hasNetem;
  }

  /** @throws Error with the reason if the system doesn't support it */
  static async open(): Promise<Network> {
    if (process.platform !== "linux") throw new Error("network namespaces need Linux");
    if (process.getuid?.() !== 0) throw new Error("network namespaces need root");
    const names = { server: `ncchaos-${process.pid}-s`, client: `ncchaos-${process.pid}-c` };
    const made: string[] = [];
    try {
      for (const name of Object.values(names)) {
        await run("ip", ["netns", "add", name]);
        made.push(name);
      }
      const { server, client } = names;
      const ends = ["name", DEVICE, "netns", server, "type", "veth", "peer", "name", DEVICE, "netns", client];
      await run("ip", ["link", "add", ...ends]);
      for (const side of SIDES) {
        const name = names[side];
        await run("ip", ["-n", name, "address", "add", `${ADDRESSES[side]}/24`, "dev", DEVICE]);
        await run("ip", ["-n", name, "link", "set", "lo", "up"]);
        await run("ip", ["-n", name, "link", "set", DEVICE, "up"]);
      }
      const hasNetem = await Network.#shape(names, NETEM);
      if (!hasNetem) await Network.#shape(names, NARROW);
      return new Network(names, hasNetem);
    } catch (error) {
      for (const name of made) await run("ip", ["netns", "delete", name]);
      throw error;
    }
  }

  /** Returns false if the kernel doesn't support it. */
  static async #shape(names: Readonly<Record<Side, string>>, discipline: readonly string[]): Promise<boolean> {
    try {
      for (const name of Object.values(names)) {
        await run("tc", ["-n", name, "qdisc", "replace", "dev", DEVICE, "root", ...discipline]);
      }
      return true;
    } catch {
      return false;
    }
  }

  get serverHost(): string {
    return ADDRESSES.server;
  }

  /** Returns a command that runs a program in a side's namespace. */
  within(side: Side): readonly string[] {
    return ["ip", "netns", "exec", this.#names[side]];
  }

  /** Silently drops all packets between the two. */
  async part(): Promise<void> {
    await this.#link("down");
  }

  async join(): Promise<void> {
    await this.#link("up");
  }

  async close(): Promise<void> {
    for (const name of Object.values(this.#names)) await run("ip", ["netns", "delete", name]);
  }

  async #link(state: "up" | "down"): Promise<void> {
    // Switch the far end, because the near one must keep its address and route.
    await run("ip", ["-n", this.#names.server, "link", "set", DEVICE, state]);
  }
}
