import { isUtf8 } from "node:buffer";
import { createReadStream, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { type FileSource, isHidden } from "./file-source.js";

/** Bytes of a large file that are read at a time. */
const PIECE_BYTES = 2 ** 20;

/** Paths as text, for messages and labels, and as the file system stores them if that differs. */
type Paths = Map<string, Buffer | undefined>;

/** Names in UTF-8 unchanged; others, from older systems, decoded as Latin-1. */
const textOf = (name: Buffer): string => name.toString(isUtf8(name) ? "utf8" : "latin1");

/** The target of a link. */
function linked(path: Buffer, shown: string): Stats {
  const target = statSync(path, { throwIfNoEntry: false });
  if (!target) throw new InputError(`${shown} is a broken link; remove or repair it`);
  return target;
}

class Collector {
  readonly found: Paths = new Map();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Adds the files below a folder. Links are followed, except those that lead back to a folder that contains them.
   *
   * @param place - the folder as the file system stores it
   * @param above - the real paths of the folder and its parents
   */
  collect(prefix: string, place: Buffer, above: readonly string[]): void {
    for (const entry of readdirSync(place, { withFileTypes: true, encoding: "buffer" })) {
      const name = textOf(entry.name);
      if (isHidden(name)) continue;
      const path = prefix + name;
      const own = Buffer.concat([place, Buffer.from("/"), entry.name]);
      const target = entry.isSymbolicLink() ? linked(own, join(this.#root, path)) : entry;
      if (target.isDirectory()) this.#descend(path, own, above);
      else if (target.isFile()) this.found.set(path, isUtf8(own) ? undefined : own);
    }
  }

  #descend(path: string, place: Buffer, above: readonly string[]): void {
    const real = realpathSync.native(place, "buffer").toString("latin1");
    if (!above.includes(real)) this.collect(`${path}/`, place, [...above, real]);
  }
}

/** The files of a folder and of all folders inside it, including those behind links. */
export function openFolder(root: string): FileSource {
  const collector = new Collector(root);
  collector.collect("", Buffer.from(root), [realpathSync.native(root, "buffer").toString("latin1")]);
  const { found } = collector;
  const nameOf = (path: string): string => join(root, path);
  const unreadable = (path: string, cause: unknown): InputError =>
    new InputError(`${nameOf(path)} cannot be read (${(cause as Error).message})`, { cause });
  return {
    location: root,
    paths: [...found.keys()].sort(),
    nameOf,
    async read(path) {
      try {
        return await readFile(found.get(path) ?? nameOf(path));
      } catch (cause) {
        throw unreadable(path, cause);
      }
    },
    async *pieces(path) {
      try {
        yield* createReadStream(found.get(path) ?? nameOf(path), { highWaterMark: PIECE_BYTES });
      } catch (cause) {
        throw unreadable(path, cause);
      }
    },
    identityOf(path) {
      // The time of the last change of any kind cannot be set back, unlike that of the content.
      const { size, mtimeNs, ctimeNs } = statSync(found.get(path) ?? nameOf(path), { bigint: true });
      return `${size} ${mtimeNs} ${ctimeNs}`;
    },
    close() {},
  };
}
