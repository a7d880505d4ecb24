import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { denoSubject } from "./subject.ts";

describeWire(denoSubject, { clientCertificates: false });
