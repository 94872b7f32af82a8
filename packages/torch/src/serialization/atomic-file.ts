import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Flushes the names in a folder to the disk, so that a renamed file keeps its new name after a power failure. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes all of `bytes` to an open file, however many calls that takes. Throws what the file system reports. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
}

/** What the file system reports names the temporary file, or none. */
function named(error: unknown, path: string): unknown {
  if (!(error instanceof Error && "syscall" in error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  return Object.assign(new Error(`${path} cannot be written (${error.message})`, { cause: error }), { code });
}

/**
 * A device, a pipe or a folder of that name would be replaced by the file: /dev/null, for the whole machine.
 *
 * @throws an error with the code EEXIST when the name belongs to anything but a file
 */
function checkReplaceable(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found || found.isFile()) return;
  const kind = found.isDirectory() ? "a folder" : "a device or a pipe";
  throw Object.assign(new Error(`${path} cannot be written: it is ${kind}, not a file`), { code: "EEXIST" });
}

/**
 * Writes a file so that its name always refers to a complete file: under a temporary name, flushed to the disk, then renamed.
 * If writing fails the temporary file is removed, and an existing file of that name is unchanged.
 *
 * @param content - bytes, or a function that writes them to the open file of the descriptor
 * @throws what `content` throws or the file system reports, such as a full disk; for a device, a pipe or a folder an error with
 * the code EEXIST
 */
export function writeFileAtomically(path: string, content: Uint8Array | ((descriptor: number) => void)): void {
  checkReplaceable(path);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  let descriptor: number;
  try {
    descriptor = openSync(temporary, "w");
  } catch (error) {
    throw named(error, path);
  }
  try {
    try {
      if (typeof content === "function") content(descriptor);
      else writeAll(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw named(error, path);
  }
  syncFolder(dirname(path));
}
