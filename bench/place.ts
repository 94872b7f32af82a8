/** The device to measure on, with suitable settings. */

import { type Device, synchronize } from "@stf/torch";
import { bfloat16Support } from "@stf/torch/installation";
import type { Precision } from "stf";

/** A device, and how to measure on it. */
export interface Place {
  readonly device: Device;
  /** The precisions of this device, the fastest last; without bfloat16 if it is emulated, since nobody would train in it then. */
  readonly precisions: readonly Precision[];
  /** Whether it has a queue of work, as GPUs do: timings are then of several runs in a row. */
  readonly isGpu: boolean;
  /** Seconds of one run of `body`, including all queued work of the device. */
  time(body: () => void): number;
}

/** Runs in a row on a GPU, between two synchronizations. */
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
