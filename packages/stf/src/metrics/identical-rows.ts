/** Rows of a matrix that are the same, byte for byte. */

import { createHash } from "node:crypto";
import type { Tensor } from "@stf/torch";
import { forEachBlock } from "./feature-matrix.js";

const ROWS_AT_ONCE = 1024;

/**
 * For each row the first row that is identical to it, `[N]`: the row itself unless there is an earlier one.
 *
 * @param rows - `[N, D]` of any dtype, such as the pixels of a bank
 */
export function identicalRows(rows: Tensor): Int32Array {
  const count = rows.size(0);
  const first = new Int32Array(count);
  const seen = new Map<string, number>();
  forEachBlock(count, ROWS_AT_ONCE, (start, length) => {
    const values = rows.narrow(0, start, length).toTypedArray();
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const size = bytes.length / length;
    for (let i = 0; i < length; i++) {
      const digest = createHash("sha256")
        .update(bytes.subarray(i * size, (i + 1) * size))
        .digest("base64");
      const earlier = seen.get(digest);
      if (earlier === undefined) seen.set(digest, start + i);
      first[start + i] = earlier ?? start + i;
    }
  });
  return first;
}
