import { type Device, engineReport } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { Rank } from "../common/ranks.js";

/** The device of one of several processes: each has a GPU of its own on its machine. */
export function deviceOf(device: Device, { size, local }: Rank): Device {
  return device === "cuda" && size > 1 ? `cuda:${local}` : device;
}

/** @throws UsageError when libtorch does not find the device. */
export function checkDevice(device: Device): void {
  if (device === "cpu") return;
  const { cudaBuilt, cudaDevices, version } = engineReport();
  const wanted = Number(/:(\d+)$/.exec(device)?.[1] ?? 0);
  if (!cudaBuilt) {
    throw new UsageError(
      `'device=${device}' needs a libtorch with CUDA, and libtorch ${version} here has none; set LIBTORCH or PYTHON to one and run "npm run setup", or compute with 'device=cpu'`,
    );
  }
  if (wanted >= cudaDevices) {
    throw new UsageError(
      `'device=${device}' must be a GPU that libtorch finds, and it finds ${cudaDevices}: check with nvidia-smi, or compute with 'device=cpu'`,
    );
  }
}
