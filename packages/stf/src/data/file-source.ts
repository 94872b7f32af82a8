/** A set of files that images are read from: a folder or an archive. */

export interface FileSource {
  /** The folder or the archive: what messages about the whole begin with. */
  readonly location: string;
  /** Path of every file, relative, with forward slashes, sorted; hidden files are left out. */
  readonly paths: readonly string[];
  /** The folder inside that the paths begin in, with a slash at its end, where it is not the whole. */
  readonly top?: string;
  /** How a message names one of the files. */
  nameOf(path: string): string;
  /** @throws InputError naming the file when it cannot be read */
  read(path: string): Promise<Uint8Array>;
  close(): void;
}

/** The files below a folder of a source, as a source. */
export function filesBelow(source: FileSource, folder: string): FileSource {
  return {
    location: source.location,
    paths: source.paths.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length)),
    top: (source.top ?? "") + folder,
    nameOf: (path) => source.nameOf(folder + path),
    read: (path) => source.read(folder + path),
    close: () => source.close(),
  };
}

/** Whether a file or folder name is one that systems leave behind unasked, such as `.DS_Store` and `__MACOSX`. */
export function isHidden(name: string): boolean {
  return name.startsWith(".") || name === "__MACOSX";
}

/** The first folder of a path; empty for a file that is in none. */
export function topFolderOf(path: string): string {
  return path.slice(0, Math.max(0, path.indexOf("/")));
}

/** The largest single file that is read. */
export const MAX_FILE_BYTES = 2 ** 29;
