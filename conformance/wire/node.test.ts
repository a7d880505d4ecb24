import { nodeSubject } from "../support/node-subject.ts";
import { describeWire } from "./wire.suite.ts";

describeWire(nodeSubject, { clientCertificates: true });
