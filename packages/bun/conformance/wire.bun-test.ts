import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { bunSubject } from "./subject.ts";

describeWire(bunSubject, { clientCertificates: true });
