/** A set of files that images are read from: a folder or an archive. */

export interface FileSource {
  /** The folder or the archive, as named in messages. */
  readonly location: string;
  /** Relative paths of all files, with forward slashes, sorted; hidden files are left out. */
  readonly paths: readonly string[];
  /** The subfolder that paths are relative to, with a trailing slash; undefined for the root. */
  readonly top?: string;
  /** The name of a file in messages. */
  nameOf(path: string): string;
  /** @throws InputError naming the file when it cannot be read */
  read(path: string): Promise<Uint8Array>;
  /**
   * A file of any size in pieces.
   *
   * @throws InputError naming the file when it cannot be read, perhaps after the last piece
   */
  pieces?(path: string): AsyncIterable<Uint8Array>;
  /** What changes when the content of a file does, known without reading it. */
  readonly identityOf?: (path: string) => string;
  close(): void;
}

/** A part of a published data set: the images to train on, or those for tests. */
export type Split = "train" | "test";

/** The pieces of a file; in one piece if the source knows no other way. */
export async function* piecesOf(source: FileSource, path: string): AsyncGenerator<Uint8Array> {
  if (source.pieces) yield* source.pieces(path);
  else yield await source.read(path);
}

/** The files below a folder of a source, as a source. */
export function filesBelow(source: FileSource, folder: string): FileSource {
  const { identityOf } = source;
  return {
    location: source.location,
    paths: source.paths.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length)),
    top: (source.top ?? "") + folder,
    nameOf: (path) => source.nameOf(folder + path),
    read: (path) => source.read(folder + path),
    ...(identityOf && { identityOf: (path) => identityOf(folder + path) }),
    close: () => source.close(),
  };
}

/** Whether a file or folder was created by the operating system, such as `.DS_Store` and `__MACOSX`. */
export function isHidden(name: string): boolean {
  return name.startsWith(".") || name === "__MACOSX";
}

/** The first folder of a path; empty for a file outside all folders. */
export function topFolderOf(path: string): string {
  return path.slice(0, Math.max(0, path.indexOf("/")));
}

/** Size limit for a single file. */
export const MAX_FILE_BYTES = 2 ** 29;
