import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { lockFile } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { LOCK_FILE } from "./files.js";

/**
 * Makes this process the only one that trains a run, until the returned lock is disposed of or the process ends.
 *
 * @throws InputError when another process trains it
 */
export function lockRun(folder: string): Disposable {
  const path = join(folder, LOCK_FILE);
  const descriptor = openSync(path, "a+");
  if (!lockFile(descriptor)) {
    const owner = readFileSync(path, "utf8").trim();
    closeSync(descriptor);
    throw new InputError(
      `${folder} is being trained by another process${owner === "" ? "" : ` (${owner})`}; stop that one first, or start a separate run`,
    );
  }
  ftruncateSync(descriptor);
  writeSync(descriptor, `process ${process.pid}\n`);
  return { [Symbol.dispose]: () => closeSync(descriptor) };
}
