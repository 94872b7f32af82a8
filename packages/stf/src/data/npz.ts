/** NumPy's archives of arrays (npz): zip archives with one npy file for each array. */

import { type NpyArray, parseNpy } from "../codecs/npy.js";
import { openZip } from "./zip.js";

const SUFFIX = /\.npy$/;

/**
 * Reads arrays of an npz file by their names, as `numpy.savez` and `numpy.savez_compressed` write them.
 *
 * @param select - whether an array is read, by its name without ".npy"; by default all are
 * @returns the arrays in the order of their names
 * @throws InputError when the file or an array is damaged, truncated, or of another kind
 */
export async function readNpz(
  path: string,
  select: (name: string) => boolean = () => true,
): Promise<Map<string, NpyArray>> {
  const source = await openZip(path);
  try {
    const arrays = new Map<string, NpyArray>();
    for (const file of source.paths.filter((entry) => SUFFIX.test(entry))) {
      const name = file.replace(SUFFIX, "");
      if (select(name)) arrays.set(name, parseNpy(await source.read(file), source.nameOf(file)));
    }
    return arrays;
  } finally {
    source.close();
  }
}
