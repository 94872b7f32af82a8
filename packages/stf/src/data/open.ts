import { existsSync, statSync } from "node:fs";
import { InputError } from "../run/errors.js";
import { isIdxFile, readIdxImages } from "./idx.js";
import type { ImageBank } from "./image-bank.js";

/**
 * Reads a data set into memory; its kind is told from its name.
 *
 * @throws InputError when it is missing, damaged, or of no known kind.
 */
export function openDataset(path: string): ImageBank {
  if (!existsSync(path)) throw new InputError(`there is no data set at ${path}`);
  if (statSync(path).isFile() && isIdxFile(path)) return readIdxImages(path);
  throw new InputError(
    `${path} is of no known kind; supported: MNIST-style files named ...-images-idx3-ubyte or ...-idx3-ubyte.gz`,
  );
}
