import type { Scenario } from "./scenario.ts";
import { broadcast } from "./scenarios/broadcast.ts";
import { calls } from "./scenarios/calls.ts";
import { closing } from "./scenarios/closing.ts";
import { deaths } from "./scenarios/deaths.ts";
import { flow } from "./scenarios/flow.ts";
import { heartbeats } from "./scenarios/heartbeats.ts";
import { hooks } from "./scenarios/hooks.ts";
import { hostile } from "./scenarios/hostile.ts";
import { limits } from "./scenarios/limits.ts";
import { login } from "./scenarios/login.ts";
import { messages } from "./scenarios/messages.ts";
import { order } from "./scenarios/order.ts";
import { reconnect } from "./scenarios/reconnect.ts";
import { rpc } from "./scenarios/rpc.ts";
import { rpcErrors } from "./scenarios/rpc-errors.ts";
import { tls } from "./scenarios/tls.ts";
import { transports } from "./scenarios/transports.ts";
import { values } from "./scenarios/values.ts";

/** Every scenario, in the order of the reports. */
export const scenarios: readonly Scenario[] = [
  ...login,
  ...hooks,
  ...messages,
  ...order,
  ...rpc,
  ...rpcErrors,
  ...calls,
  ...values,
  ...broadcast,
  ...flow,
  ...limits,
  ...heartbeats,
  ...closing,
  ...deaths,
  ...reconnect,
  ...transports,
  ...tls,
  ...hostile,
];

const byTitle = new Map(scenarios.map((scenario) => [scenario.title, scenario]));
if (byTitle.size !== scenarios.length) throw new Error("Two scenarios have the same title");

export function scenarioOf(title: string): Scenario {
  const scenario = byTitle.get(title);
  if (scenario === undefined) throw new Error(`No scenario is called '${title}'`);
  return scenario;
}
