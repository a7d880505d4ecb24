import type { Scenario } from "./scenario.ts";
import { closing } from "./scenarios/closing.ts";
import { deaths } from "./scenarios/deaths.ts";
import { heartbeats } from "./scenarios/heartbeats.ts";
import { limits } from "./scenarios/limits.ts";
import { login } from "./scenarios/login.ts";
import { reconnect } from "./scenarios/reconnect.ts";
import { tls } from "./scenarios/tls.ts";
import { topics } from "./scenarios/topics.ts";
import { traffic } from "./scenarios/traffic.ts";
import { transports } from "./scenarios/transports.ts";
import { values } from "./scenarios/values.ts";

/** All scenarios in the order of the reports. */
export const scenarios: readonly Scenario[] = [
  ...login,
  ...values,
  ...traffic,
  ...limits,
  ...heartbeats,
  ...closing,
  ...deaths,
  ...reconnect,
  ...topics,
  ...transports,
  ...tls,
];

const byTitle = new Map(scenarios.map((scenario) => [scenario.title, scenario]));
if (byTitle.size !== scenarios.length) throw new Error("Two scenarios have the same title");

export function scenarioOf(title: string): Scenario {
  const scenario = byTitle.get(title);
  if (scenario === undefined) throw new Error(`No scenario is called '${title}'`);
  return scenario;
}
