/** Tar archives, gzipped or not, read once from start to end: tar-stream reads the format, with the long names of GNU and POSIX. */

import { createReadStream } from "node:fs";
import { totalmem } from "node:os";
import { pipeline } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { InputError } from "../common/errors.js";
import { type FileSource, isHidden, MAX_FILE_BYTES } from "./file-source.js";

const BLOCK = 512;
/** Larger pieces than node:zlib's default take fewer turns of the event loop. */
const CHUNK_BYTES = 2 ** 18;
/** An archive whose bytes are not asked for so long is given up. */
const STALLED_MILLISECONDS = 3_000;

/** Whether a file's first bytes are those of an uncompressed tar archive: a header whose checksum is right. */
export function isTar(start: Uint8Array): boolean {
  if (start.length < BLOCK || start[0] === 0) return false;
  const [checksumStart, checksumEnd, blank] = [148, 156, 0x20];
  const field = Buffer.from(start.subarray(checksumStart, checksumEnd)).toString("latin1");
  const sum = start
    .subarray(0, BLOCK)
    .reduce((total, byte, i) => total + (i >= checksumStart && i < checksumEnd ? blank : byte), 0);
  return Number.parseInt(field.replace(/[\0 ]+$/, "").trim(), 8) === sum;
}

/** Passes the pieces of an archive on. @throws an error after the last one if it was not an empty block, which ends an archive */
async function* whole(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let end = Buffer.alloc(0);
  for await (const piece of pieces) {
    end = Buffer.concat([end, piece.subarray(-BLOCK)]).subarray(-BLOCK);
    yield piece;
  }
  if (end.some((byte) => byte !== 0)) throw new Error("the empty blocks at its end are missing");
}

interface TarFiles {
  /** The wanted files with their bytes. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Paths of the other files. */
  readonly others: readonly string[];
}

/** @throws what the streams report, or an InputError when the wanted files do not fit into memory */
async function readFiles(archive: string, gzipped: boolean, isWanted: (path: string) => boolean): Promise<TarFiles> {
  const files = new Map<string, Uint8Array>();
  const others: string[] = [];
  // Old archives lack the mark of the later formats; headers are checked by checksum all the same. Its types lack the option.
  const unpack = extract({ allowUnknownFormat: true } as object);
  const input = createReadStream(archive);
  const flow = gzipped
    ? pipeline(input, createGunzip({ chunkSize: CHUNK_BYTES }), whole, unpack)
    : pipeline(input, whole, unpack);
  let total = 0;
  let turns = 0;
  const readAll = async (): Promise<void> => {
    for await (const entry of unpack) {
      turns++;
      const { name, type, size = 0 } = entry.header;
      const path = name.replace(/^\.\//, "");
      const isFile = type === "file" && !path.split("/").some(isHidden);
      if (isFile && !isWanted(path)) others.push(path);
      if (!isFile || !isWanted(path)) {
        entry.resume();
        continue;
      }
      if (size > MAX_FILE_BYTES) throw new Error(`${path} declares ${size} bytes, at most ${MAX_FILE_BYTES} are read`);
      total += size;
      if (total > totalmem() / 2) {
        throw new InputError(
          `${archive} holds more than half of this machine's memory in images; unpack it, and give the resulting folder`,
        );
      }
      const pieces: Uint8Array[] = [];
      for await (const piece of entry) {
        turns++;
        pieces.push(piece as Uint8Array);
      }
      files.set(path, Buffer.concat(pieces));
    }
  };
  flow.catch(() => {});
  const work = async (): Promise<void> => {
    await readAll();
    await flow;
  };
  const timer = new AbortController();
  // With some damaged headers tar-stream waits for ever.
  const stalled = async (): Promise<void> => {
    // A slow disk is waited for: what counts is bytes that have been read and are not asked for.
    const isIdle = (): boolean => input.readableEnded || input.readableLength > 0;
    for (let before = -1; before !== turns || !isIdle(); ) {
      before = turns;
      await setTimeout(STALLED_MILLISECONDS, undefined, { signal: timer.signal });
    }
    throw new Error("its entries do not fit together");
  };
  const watch = stalled();
  watch.catch(() => {});
  try {
    await Promise.race([work(), watch]);
  } finally {
    timer.abort();
    unpack.destroy();
  }
  return { files, others };
}

/**
 * The files of a tar archive, gzipped or not. The wanted ones are held in memory, because such an archive can only be read from
 * start to end.
 *
 * @param isWanted - by path; other files are listed and cannot be read
 * @throws InputError when it is not such an archive, is damaged or truncated, or too large
 */
export async function openTar(
  archive: string,
  isWanted: (path: string) => boolean,
  { gzipped }: { gzipped: boolean },
): Promise<FileSource> {
  try {
    const { files, others } = await readFiles(archive, gzipped, isWanted);
    return {
      location: archive,
      paths: [...files.keys(), ...others].sort(),
      nameOf: (path) => `${path} in ${archive}`,
      read: async (path) => files.get(path) as Uint8Array,
      close() {},
    };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    // Without the advice of tar-stream.
    const [reason] = (cause as Error).message.split(". ");
    throw new InputError(
      `${archive} is not a${gzipped ? " gzipped" : ""} tar archive, or is damaged or truncated (${reason}); download it again`,
      { cause },
    );
  }
}
