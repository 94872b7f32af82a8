/** What connected processes tell each other in arrays, to the last bit. */

import { scope, tensor } from "@stf/torch";
import type { Team } from "./team.js";

/**
 * The rows of all processes, one process after the other, in each of them.
 *
 * @param own - any number of rows, of one length in all processes
 */
export function gatherBytes(own: readonly Uint8Array[], team: Team): Uint8Array[] {
  const width = Math.max(...team.gather(own[0]?.length ?? 0));
  const bytes = new Uint8Array(own.length * width);
  own.forEach((row, i) => void bytes.set(row, i * width));
  const all = scope(() => team.gatherRows(tensor(bytes, { shape: [own.length, width] })).toTypedArray() as Uint8Array);
  return Array.from({ length: all.length / Math.max(width, 1) }, (_, i) => all.slice(i * width, (i + 1) * width));
}

/**
 * What all processes found of their items, one process after the other, in each of them.
 *
 * @param own - some arrays for each item of this process, which have the same lengths for every item of any process
 */
export function gatherArrays(own: readonly (readonly Float64Array[])[], team: Team): Float64Array[][] {
  const lengths = team.gather(own[0]?.map((array) => array.length) ?? null).find((found) => found !== null) ?? [];
  const width = lengths.reduce((sum, length) => sum + length, 0);
  const rows = own.map((arrays) => {
    const row = new Float64Array(width);
    let at = 0;
    for (const array of arrays) {
      row.set(array, at);
      at += array.length;
    }
    return new Uint8Array(row.buffer);
  });
  return gatherBytes(rows, team).map((bytes) => {
    let at = 0;
    return lengths.map((length) => {
      const array = new Float64Array(bytes.buffer, 8 * at, length);
      at += length;
      return array;
    });
  });
}
