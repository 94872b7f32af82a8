/** Data sets in the published layout, as a zip archive or a folder: complete under their name, or not there. */

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncFolder } from "@stf/torch";
import { StoredZip } from "./stored-zip.js";

/** Receives the files of a data set. */
export interface DatasetWriter {
  /** Adds a file by its path, with forward slashes. @throws errors of the file system */
  add(path: string, bytes: Uint8Array): void;
  /** Gives the data set its name. Returns its size in bytes. @throws errors of the file system */
  finish(): number;
  /** Removes what was written. */
  discard(): void;
}

/** The path of an image: "00012/img00012345.png", a thousand images per folder. */
export function pathInDataset(index: number): string {
  const digits = String(index).padStart(8, "0");
  return `${digits.slice(0, -3)}/img${digits}.png`;
}

/** Whether a data set of that name is a zip archive: as in the published tool, by the end of the name. */
export const isZipName = (dest: string): boolean => /zip$/i.test(dest);

const temporaryFor = (dest: string): string => join(dirname(dest), `.${basename(dest)}.${process.pid}.partial`);

function zipWriter(dest: string): DatasetWriter {
  const temporary = temporaryFor(dest);
  const descriptor = openSync(temporary, "w");
  const zip = new StoredZip(descriptor);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(descriptor);
    isOpen = false;
  };
  return {
    add: (path, bytes) => zip.add(path, bytes),
    finish() {
      zip.finish();
      fsyncSync(descriptor);
      close();
      renameSync(temporary, dest);
      syncFolder(dirname(dest));
      return zip.size;
    },
    discard() {
      close();
      rmSync(temporary, { force: true });
    },
  };
}

function folderWriter(dest: string): DatasetWriter {
  const temporary = temporaryFor(dest);
  // An empty folder is removed now rather than at the end, so that one that cannot be removed costs no work.
  const wasThere = existsSync(dest);
  if (wasThere) rmdirSync(dest);
  mkdirSync(temporary);
  const made = new Set<string>();
  let size = 0;
  return {
    add(path, bytes) {
      const place = join(temporary, path);
      const folder = dirname(place);
      if (!made.has(folder)) mkdirSync(folder, { recursive: true });
      made.add(folder);
      writeFileSync(place, bytes);
      size += bytes.length;
    },
    finish() {
      for (const folder of made) syncFolder(folder);
      renameSync(temporary, dest);
      syncFolder(dirname(dest));
      return size;
    },
    discard() {
      rmSync(temporary, { recursive: true, force: true });
      if (wasThere) mkdirSync(dest);
    },
  };
}

/** Whether a process is running. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Removes what killed conversions to the same name left; the files of one that is under way are left to it. */
function removeRemains(dest: string): void {
  const folder = dirname(dest);
  const start = `.${basename(dest)}.`;
  for (const name of readdirSync(folder).filter((each) => each.startsWith(start))) {
    const pid = /^(\d+)\.partial$/.exec(name.slice(start.length))?.[1];
    if (pid === undefined || (Number(pid) !== process.pid && isRunning(Number(pid)))) continue;
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Begins a data set: a zip archive of stored files if the name ends in "zip", else a folder. It is written under a temporary name
 * beside, and renamed when finished.
 *
 * @param dest - its folder exists; if it is a folder itself, it is empty
 * @throws errors of the file system
 */
export function writeDataset(dest: string): DatasetWriter {
  removeRemains(dest);
  return isZipName(dest) ? zipWriter(dest) : folderWriter(dest);
}
