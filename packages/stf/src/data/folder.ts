import { readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { type FileSource, isHidden } from "./file-source.js";

/** Adds the files below `root/prefix` to `found`. Links to files count, links to folders are not followed. */
function collect(root: string, prefix: string, found: string[]): void {
  for (const entry of readdirSync(join(root, prefix), { withFileTypes: true })) {
    if (isHidden(entry.name)) continue;
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) collect(root, path, found);
    else if (entry.isFile() || (entry.isSymbolicLink() && isLinkToFile(join(root, path)))) found.push(path);
  }
}

function isLinkToFile(path: string): boolean {
  const target = statSync(path, { throwIfNoEntry: false });
  if (!target) throw new InputError(`${path} is a link to nothing; remove it or mend it`);
  return target.isFile();
}

/** The files of a folder and of all folders inside it. */
export function openFolder(root: string): FileSource {
  const paths: string[] = [];
  collect(root, "", paths);
  const nameOf = (path: string): string => join(root, path);
  return {
    location: root,
    paths: paths.sort(),
    nameOf,
    async read(path) {
      try {
        return await readFile(nameOf(path));
      } catch (cause) {
        throw new InputError(`${nameOf(path)} cannot be read (${(cause as Error).message})`, { cause });
      }
    },
    close() {},
  };
}
