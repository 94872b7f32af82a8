/**
 * Peak memory of training in this fresh process: `memory.js NETWORK PRECISION`. Prints the bytes by which two steps and
 * everything they need raised the peak. Two, because the first one may be over before the optimizer has its state.
 */

import { readFileSync } from "node:fs";
import { denoisingTarget, type Precision } from "stf";
import { type NetworkName, networks } from "./networks.js";
import { placeOf } from "./place.js";
import { Trainee } from "./trainee.js";

/** The largest resident size so far, in bytes. Only Linux reports it without that of the parent process. */
const peak = (): number => 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

const [name, precision] = process.argv.slice(2) as [NetworkName, Precision];
const { config, batch } = networks[name];
const before = peak();
const trainee = new Trainee(placeOf("cpu"), config, precision, batch.cpu, batch.cpu);
for (let i = 0; i < 2; i++) trainee.step({ target: denoisingTarget });
console.log(peak() - before);
