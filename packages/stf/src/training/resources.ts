import { type Device, deviceMemory, memory, resetPeakMemory } from "@stf/torch";
import type { TickQuantity } from "../run/statistics.js";

const GIB = 2 ** 30;

/** The name of a quantity of memory or of tensors. */
type ResourceName = Extract<TickQuantity, `Resources/${string}`>;

/** What the process and the tensors take now. The peak of a GPU is that since the last call. */
export function resourceStatistics(device: Device): Partial<Record<ResourceName, number>> {
  const { tensors, bytes } = memory();
  const onDevice = deviceMemory(device);
  if (onDevice) resetPeakMemory(device);
  return {
    "Resources/cpu_mem_gb": process.memoryUsage.rss() / GIB,
    // In KiB.
    "Resources/peak_cpu_mem_gb": process.resourceUsage().maxRSS / 2 ** 20,
    ...(onDevice && {
      "Resources/peak_gpu_mem_gb": onDevice.peak / GIB,
      "Resources/peak_gpu_mem_reserved_gb": onDevice.reserved / GIB,
    }),
    "Resources/tensors": tensors,
    "Resources/tensor_mem_gb": bytes / GIB,
  };
}
