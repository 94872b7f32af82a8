/** Where is measured: a device, with what suits it. */

import { type Device, synchronize } from "@stf/torch";
import { bfloat16Support } from "@stf/torch/installation";
import type { Precision } from "stf";

/** A device, and how it is measured. */
export interface Place {
  readonly device: Device;
  /** What this device computes with, the fastest last: where bfloat16 is emulated nobody would train in it. */
  readonly precisions: readonly Precision[];
  /** Whether it works through a queue: a GPU, whose timings are of several runs in a row. */
  readonly isGpu: boolean;
  /** Seconds of one run of `body`, of everything that the device was asked for. */
  time(body: () => void): number;
}

/** Runs in a row on a GPU, between two waits for it. */
const RUNS = 4;

/** The place of a device. */
export function placeOf(device: Device): Place {
  const isGpu = device !== "cpu";
  const runs = isGpu ? RUNS : 1;
  const precisions: readonly Precision[] = isGpu
    ? ["fp32", "tf32", "bf16"]
    : bfloat16Support() === "emulated"
      ? ["fp32"]
      : ["fp32", "bf16"];
  return {
    device,
    precisions,
    isGpu,
    time(body) {
      synchronize(device);
      const start = performance.now();
      for (let run = 0; run < runs; run++) body();
      synchronize(device);
      return (performance.now() - start) / 1000 / runs;
    },
  };
}
