/** Files as tensors, without a copy: processes that map the same file share its memory. */

import { statSync } from "node:fs";
import { call, operator, wrap } from "./dispatch.js";
import { type DType, dtypeCode, elementSize } from "./dtype.js";
import { ShapeError } from "./errors.js";
import { elementCount, formatShape } from "./shape.js";
import type { Tensor } from "./tensor.js";

const FROM_FILE = operator("aten::from_file");

/**
 * The bytes of a file as a tensor on the CPU, in memory that all processes share that map the file: what one of them writes, all see. The
 * tensor stays valid when the file loses its name, and its memory is freed with the last tensor of the last process.
 *
 * The file must keep its length: reading what it has lost ends the process.
 *
 * @throws ShapeError when the file is too short for the shape; what the file system reports, such as ENOENT; TorchError when it cannot
 * be mapped, as without permission to write it
 */
export function mapFile(path: string, { dtype = "uint8", shape }: { dtype?: DType; shape: readonly number[] }): Tensor {
  const count = elementCount(shape);
  // libtorch would make a file that is missing, and lengthen one that is short.
  const found = statSync(path).size;
  const wanted = count * elementSize(dtype);
  if (found < wanted) {
    throw new ShapeError(`${path} has ${found} bytes, and the shape ${formatShape(shape)} needs ${wanted}`);
  }
  const flat = wrap(call(FROM_FILE, path, true, count, dtypeCode(dtype)));
  try {
    return flat.view(shape);
  } finally {
    flat.dispose();
  }
}
