import { describeWithDriver, type InteropSubject } from "../scene.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeFiles } from "./files.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { ClientScene } from "./scene.ts";
import { describeTopics } from "./topics.suite.ts";
import { describeValues } from "./values.suite.ts";

export function describeNetconduitClient(subject: InteropSubject, python: string, on: string): void {
  describeWithDriver(
    `netconduit's client on our server ${on}`,
    python,
    "client_driver.py",
    (driver) => new ClientScene(subject, driver),
    [describeLogin, describeMessages, describeRpc, describeValues, describeTopics, describeFiles, describeClosing],
  );
}
