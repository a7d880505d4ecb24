import { describeWithDriver, type InteropSubject } from "../scene.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeFiles } from "./files.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { ServerScene } from "./scene.ts";
import { describeValues } from "./values.suite.ts";

export function describeNetconduitServer(subject: InteropSubject, python: string, on: string): void {
  describeWithDriver(
    `our client on netconduit's server ${on}`,
    python,
    "server_driver.py",
    (driver) => new ServerScene(subject, driver),
    [describeLogin, describeMessages, describeRpc, describeValues, describeFiles, describeClosing],
  );
}
