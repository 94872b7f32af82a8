/** The averages that a run has stored, by file or by run folder. */

import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { describeAverages, type StoredAverages } from "../checkpoints/averages-file.js";
import { InputError, UsageError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { OPTIONS_FILE, stampedNames } from "../run/files.js";

/** Why a folder has no averages, as far as its options say. */
function whyNone(folder: string): string {
  let average: unknown;
  try {
    average = (JSON.parse(readFileSync(join(folder, OPTIONS_FILE), "utf8")) as Record<string, unknown>)["average"];
  } catch {
    return `${folder} must be a run folder with averages (averages-*.safetensors) or a file of them, found neither`;
  }
  return average === "power"
    ? `${folder} has no averages yet (averages-*.safetensors): they are stored with every network snapshot, for which 'snap' sets the interval`
    : `${folder} was trained with a single average of a fixed half-life, from which no other can be made; train with 'average=power'`;
}

/** The files that paths name, each once. @throws InputError for a path without any */
function filesOf(paths: readonly string[]): string[] {
  const files = paths.flatMap((path) => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) throw new InputError(`there is no run folder or file of averages at ${path}`);
    if (!found.isDirectory()) return [path];
    const names = stampedNames(readdirSync(path), "averages");
    if (names.length === 0) throw new InputError(whyNone(path));
    return names.map((name) => join(path, name));
  });
  const real = files.map((file) => realpathSync(file));
  return files.filter((_, i) => real.indexOf(real[i] as string) === i);
}

/** What must be the same in all files, by its name in messages. */
const traits: Readonly<Record<string, (stored: StoredAverages) => unknown>> = {
  network: ({ metadata }) => metadata["network"],
  widths: ({ widths }) => widths,
  data: ({ about }) => about["data"],
  seed: ({ about }) => about["seed"],
};

/** @throws InputError when files cannot be those of one run */
function checkOneRun(all: readonly StoredAverages[]): void {
  const [first, ...others] = all as [StoredAverages, ...StoredAverages[]];
  for (const other of others) {
    const trait = Object.keys(traits).find(
      (name) => JSON.stringify(traits[name]?.(first)) !== JSON.stringify(traits[name]?.(other)),
    );
    if (trait) {
      throw new InputError(
        `${first.path} and ${other.path} must be averages of one run, found a different ${trait}; name the files of one`,
      );
    }
  }
  const twin = all.find((stored, i) => all[i + 1]?.images === stored.images);
  if (twin) {
    const paths = all.filter(({ images }) => images === twin.images).map(({ path }) => path);
    throw new InputError(
      `every time must have one file of averages, found ${abbreviated(paths)} for ${twin.images} images; name the files of one run`,
    );
  }
}

/**
 * The averages from which one at a time can be made: those stored until then, the earliest first.
 *
 * @param paths - run folders and files
 * @param images - the time; the latest when null
 * @throws InputError for files that cannot be used together, or too few of them; UsageError for a time that has none
 */
export function averagesUntil(paths: readonly string[], images: number | null): StoredAverages[] {
  const all = filesOf(paths)
    .map(describeAverages)
    .sort((a, b) => a.images - b.images);
  checkOneRun(all);
  const times = all.map((stored) => stored.images);
  const time = images ?? (times.at(-1) as number);
  if (!times.includes(time)) {
    throw new UsageError(
      `'images' must be a time at which averages were stored (${abbreviated(times.map(String))}), found ${time}`,
    );
  }
  const until = all.filter((stored) => stored.images <= time);
  if (until.length < 2) {
    throw new InputError(
      `averages of at least two times are needed, found one, after ${time} images: ${all.length > 1 ? "choose a later time with 'images'" : "name more files of the run, or save more often with 'snap'"}`,
    );
  }
  return until;
}
