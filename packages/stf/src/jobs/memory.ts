import { totalmem } from "node:os";
import { constrainedMemory } from "node:process";
import { isOutOfMemory } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { formatBytes } from "../common/text.js";

/** Bytes of memory of the machine or container. */
export function machineMemory(): number {
  const limit = constrainedMemory() ?? 0;
  return Math.min(totalmem(), limit > 0 ? limit : Number.POSITIVE_INFINITY);
}

/** "2.0 GiB" */
function formatSize(text: string, unit: string): string {
  const bytes = Number(text);
  if (unit !== "bytes" || !Number.isFinite(bytes)) return `${text} ${unit}`;
  return formatBytes(bytes);
}

/**
 * The result of `body`, if there is enough memory.
 *
 * @param advice - what to lower, as a phrase that follows "there is not enough memory: "
 * @throws InputError when there is not
 */
export async function withinMemory<T>(advice: () => string, body: () => Promise<T> | T): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    if (!isOutOfMemory(cause)) throw cause;
    const [, size, unit] = /tried to allocate ([\d.]+) (\w+)/i.exec((cause as Error).message) ?? [];
    const wanted = size === undefined || unit === undefined ? "" : ` for another ${formatSize(size, unit)}`;
    throw new InputError(`there is not enough memory${wanted}: ${advice()}`, { cause });
  }
}
