import { describePairs } from "./describe-pairs.ts";

describePairs("node");
