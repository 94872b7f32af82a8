/** A set of files that images are read from: a folder or an archive. */

export interface FileSource {
  /** The folder or the archive: what messages about the whole begin with. */
  readonly location: string;
  /** Path of every file, relative, with forward slashes, sorted; hidden files are left out. */
  readonly paths: readonly string[];
  /** How a message names one of the files. */
  nameOf(path: string): string;
  /** @throws InputError naming the file when it cannot be read */
  read(path: string): Promise<Uint8Array>;
  close(): void;
}

/** Whether a file or folder name is one that systems leave behind unasked, such as `.DS_Store` and `__MACOSX`. */
export function isHidden(name: string): boolean {
  return name.startsWith(".") || name === "__MACOSX";
}

/** The largest single file that is read. */
export const MAX_FILE_BYTES = 2 ** 29;
