/** The images of a training, in memory that the processes of a machine share. */

import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { elementCount, mapFile, scope, writeAll } from "@stf/torch";
import { freeBytes, isFileProblem, problemOf } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";
import { partOf } from "../common/ranks.js";
import { formatBytes } from "../common/text.js";
import { DividedBank } from "../data/divided-bank.js";
import { ImageBank } from "../data/image-bank.js";
import type { JobContext } from "./context.js";
import type { Team } from "./team.js";

/** What a process trains on: all images, or its part of them. */
export type TrainingBank = ImageBank | DividedBank;

/** @throws RangeError for a part of the images: the options of a training that needs all of them exclude it */
export function allOf(bank: TrainingBank): ImageBank {
  if (bank instanceof ImageBank) return bank;
  throw new RangeError("all images are needed in this process, found a part of them");
}

/** Images with what identifies all of them. */
export interface KnownImages<B extends TrainingBank = TrainingBank> {
  readonly bank: B;
  /** `digestOfImages` of the whole data set. */
  readonly digest: string;
}

/** Where files are memory, on Linux. */
const MEMORY = "/dev/shm";
/** Images copied at a time. */
const IMAGES_AT_ONCE = 16_384;
const LABEL_BYTES = 4;

/** The name of a process's file while others may still have to open it. */
const fileName = (process: number): string => `.stf-images.${hostname()}.${process}.partial`;

function lives(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Removes files of processes of this machine that were killed before all others had opened them. */
export function removeLeftImages(folder: string): void {
  const prefix = `.stf-images.${hostname()}.`;
  for (const name of readdirSync(folder)) {
    const id = name.startsWith(prefix) ? /^(\d+)\.partial$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (id !== undefined && (Number(id) === process.pid || !lives(Number(id)))) {
      rmSync(join(folder, name), { force: true });
    }
  }
}

/** Rows of images, from `first` to before `end`. */
type Rows = ReturnType<typeof partOf>;

const bytesOf = ({ dimension, labels }: ImageBank, rows: readonly Rows[]): number =>
  dimension * rows.reduce((sum, { first, end }) => sum + end - first, 0) + LABEL_BYTES * (labels?.length ?? 0);

/** Writes the pixels of some images, one part after the other, and then the labels of all. */
function writeImages(path: string, { pixels, labels }: ImageBank, rows: readonly Rows[]): void {
  const descriptor = openSync(path, "wx", 0o600);
  const write = (values: ArrayBufferView): void =>
    writeAll(descriptor, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  try {
    for (const { first, end } of rows) {
      for (let begin = first; begin < end; begin += IMAGES_AT_ONCE) {
        const length = Math.min(IMAGES_AT_ONCE, end - begin);
        write(scope(() => pixels.narrow(0, begin, length).toTypedArray()));
      }
    }
    if (labels) write(labels);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Writes images to a file in memory, or in the folder for temporary files where that has no room.
 *
 * @returns the path, or why there is none
 */
function fileOf(
  bank: ImageBank,
  rows: readonly Rows[],
  folders: readonly string[],
): { path?: string; problem?: string } {
  const wanted = bytesOf(bank, rows);
  const problems: string[] = [];
  for (const folder of folders) {
    try {
      removeLeftImages(folder);
      const free = freeBytes(folder);
      if (free < wanted) {
        problems.push(`${folder} has room for ${formatBytes(free)}`);
        continue;
      }
      const path = join(folder, fileName(process.pid));
      writeImages(path, bank, rows);
      return { path };
    } catch (error) {
      if (!isFileProblem(error)) throw error;
      problems.push(`${folder}: ${problemOf(error)}`);
    }
  }
  return { problem: `the images take ${formatBytes(wanted)}, and ${problems.join("; ")}` };
}

/** What the first process of a machine tells the others about its file. */
interface Told {
  readonly path?: string;
  readonly problem?: string;
  readonly name: string;
  readonly shape: ImageShape;
  readonly classNames?: readonly string[] | undefined;
  readonly unlabelled?: string | undefined;
  readonly count: number;
  readonly isLabelled: boolean;
  readonly digest: string;
}

/** The images in a file of {@link writeImages}, all of them or the part of this process. */
function mapped(
  told: Told & { readonly path: string },
  rows: readonly Rows[],
  team: Sharers,
  isDivided: boolean,
): TrainingBank {
  const { path, name, shape, count, isLabelled, classNames, unlabelled } = told;
  const dimension = elementCount([shape.channels, shape.height, shape.width]);
  const stored = rows.reduce((sum, { first, end }) => sum + end - first, 0);
  const labelBytes = isLabelled ? LABEL_BYTES * count : 0;
  return scope(() => {
    const bytes = mapFile(path, { shape: [stored * dimension + labelBytes] });
    const labels = isLabelled
      ? new Int32Array(
          Uint8Array.from(bytes.narrow(0, stored * dimension, labelBytes).toTypedArray() as Uint8Array).buffer,
        )
      : undefined;
    const classes = { labels, classNames, unlabelled };
    const pixels = bytes.narrow(0, 0, stored * dimension).view([stored, dimension]);
    if (!isDivided) return new ImageBank(name, shape, pixels, classes);
    const before = rows.slice(0, team.local.rank).reduce((sum, { first, end }) => sum + end - first, 0);
    const { first, end } = rows[team.local.rank] as Rows;
    const own = new ImageBank(name, shape, pixels.narrow(0, before, end - first));
    return new DividedBank(own, { count, ...classes }, team);
  });
}

/** What {@link shareImages} asks of a team. */
type Sharers = Pick<Team, "rank" | "size" | "local" | "alone" | "gather">;

/** Settings of {@link shareImages}. */
export interface SharedImagesOptions {
  /** Each process gets its part of the images only; the memory of a machine holds those of its processes. */
  readonly isDivided: boolean;
  /** Where files may be written; the first with room is used. */
  readonly folders?: readonly string[];
}

/**
 * Gives the images of the first process of each machine to the others of that machine. Afterwards one copy of them is in memory, as long
 * as one of the processes lives: the file that all have mapped has lost its name by then, so that nothing is left if they are killed.
 *
 * @param read - the images on the CPU, in the first process of each machine; they are disposed of, unless they are returned
 * @returns undefined where this process has to read them itself, because memory that is shared has no room for them
 */
export function shareImages(
  read: KnownImages<ImageBank> | undefined,
  team: Sharers,
  { isDivided, folders = [MEMORY, tmpdir()] }: SharedImagesOptions,
  { reporter }: Pick<JobContext, "reporter">,
): KnownImages | undefined {
  const { local, size } = team;
  const rowsOf = (count: number): Rows[] =>
    isDivided ? local.ranks.map((rank) => partOf(count, { rank, size })) : [{ first: 0, end: count }];
  let own: ReturnType<typeof fileOf> = {};
  try {
    let told: Told | null = null;
    if (read) {
      const { bank, digest } = read;
      const { name, shape, count, classNames, unlabelled, labels } = bank;
      if (local.size > 1) {
        own = team.alone("it shares the images", () => fileOf(bank, rowsOf(count), folders));
        if (own.problem !== undefined) {
          reporter.warn(`the processes of this machine cannot share images, and each reads its own: ${own.problem}`);
        }
      }
      told = { ...own, name, shape, count, classNames, unlabelled, digest, isLabelled: labels !== undefined };
    }
    const of = team.gather(told)[local.ranks[0] as number] as Told;
    const bank = tried(
      () => {
        const { path } = of;
        return path === undefined ? undefined : mapped({ ...of, path }, rowsOf(of.count), team, isDivided);
      },
      `the images of rank ${local.ranks[0]} cannot be shared, and this process reads its own`,
      reporter,
    );
    // All of the machine have opened the file when this returns.
    team.gather(bank !== undefined);
    if (bank) {
      read?.bank.dispose();
      return { bank, digest: of.digest };
    }
  } finally {
    if (own.path !== undefined) rmSync(own.path, { force: true });
  }
  return read && { bank: isDivided ? DividedBank.of(read.bank, team) : read.bank, digest: read.digest };
}

/** The result of `body`; undefined with a warning where the file system refuses. Processes that share a machine may see other folders. */
function tried<T>(body: () => T, otherwise: string, reporter: JobContext["reporter"]): T | undefined {
  try {
    return body();
  } catch (error) {
    if (!isFileProblem(error)) throw error;
    reporter.warn(`${otherwise}: ${problemOf(error)}`);
    return undefined;
  }
}
