/** The lines of `stf dataset check`. */

import { abbreviated, formatBytes } from "../common/text.js";
import { conversionOptions, suggestedSide } from "../data/suggested-conversion.js";
import type { CheckResult, Count } from "../jobs/check-dataset.js";
import { pasteable } from "./shell.js";

/** The first of many, each with its number of images. */
const counted = (counts: readonly Count[]): string =>
  abbreviated(counts.map(({ name, count }) => `${name} (${count})`));

const some = (count: number, words: string): string[] => (count > 0 ? [`${count} ${words}`] : []);

function classLine({ classes, unlabelled }: CheckResult): string {
  if (!classes) return `none${unlabelled === undefined ? "" : `: ${unlabelled}`}`;
  const sizes = classes.map(({ count }) => count);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const balance = least === most ? `${least} images each` : `${least} to ${most} images each`;
  const empty = some(sizes.filter((size) => size === 0).length, "without images");
  return [`${classes.length}, ${balance}`, ...empty, counted(classes)].join("; ");
}

function duplicateLines({ duplicates, nearDuplicates }: CheckResult): string[] {
  const surplus = duplicates.reduce((sum, group) => sum + group.length - 1, 0);
  const groups = abbreviated(duplicates.map((group) => abbreviated(group).replaceAll(", ", " = ")));
  const exact =
    surplus === 0 ? "none" : `${surplus} in ${duplicates.length} group${duplicates.length === 1 ? "" : "s"}: ${groups}`;
  const near =
    nearDuplicates === null
      ? "not searched"
      : nearDuplicates.length === 0
        ? "none"
        : `${nearDuplicates.length} pair${nearDuplicates.length === 1 ? "" : "s"}: ${abbreviated(
            nearDuplicates.map(({ names: [one, two], correlation }) => `${one} ~ ${two} (${correlation.toFixed(3)})`),
          )}`;
  return [`duplicates  ${exact}`, `near        ${near}`];
}

function valueLines({ values }: CheckResult): string[] {
  if (!values) return [];
  const list = (numbers: readonly number[]): string => numbers.map((value) => value.toFixed(1)).join(", ");
  return [
    `values      mean ${list(values.mean)}, contrast ${list(values.contrast)} of 255`,
    `sigma_data  ${values.sigmaData.toFixed(3)} (the preconditioning of EDM assumes 0.5)`,
  ];
}

function memoryLine({ bankBytes, count, channels, leastSide }: CheckResult): string {
  if (bankBytes !== null) return `memory      ${formatBytes(bankBytes)} for the images, which training keeps in memory`;
  const side = suggestedSide(leastSide);
  return `memory      ${formatBytes(count * channels * side ** 2)} for the images at ${side}x${side}, which training keeps in memory`;
}

/** What to do next: train, or convert first. */
function nextLines({ data, sizes, leastSide, unreadable, modes }: CheckResult): string[] {
  const [width, height] = (sizes[0]?.name ?? "").split("x");
  const isReadable = modes.every(({ name }) => /^(png|jpeg|array)/.test(name)) && unreadable.length === 0;
  if (sizes.length === 1 && width === height && isReadable) {
    return [`next        ${pasteable("train", `--data=${data}`, "--dry-run")}`];
  }
  const isOneSize = sizes.length === 1 && width === height;
  const words = conversionOptions(data, isOneSize ? undefined : suggestedSide(leastSide));
  if (unreadable.length > 0) words.push("--skip-unreadable");
  return [`next        ${pasteable("dataset", "convert", ...words)}`];
}

function linesOnReadable(result: CheckResult, remarks: readonly string[]): string[] {
  const { sizes, modes } = result;
  return [
    `sizes       ${sizes.length === 1 ? sizes[0]?.name : `${sizes.length}: ${counted(sizes)}`}`,
    `modes       ${[counted(modes), ...remarks].join("; ")}`,
    `classes     ${classLine(result)}`,
    ...duplicateLines(result),
    ...valueLines(result),
    memoryLine(result),
    ...nextLines(result),
  ];
}

/** What was found, line by line. */
export function reportLines(result: CheckResult): string[] {
  const { data, count, unreadable, sizes, transparent, turned, odd } = result;
  const remarks = [
    ...some(transparent, "transparent in places"),
    ...some(turned, "turned by their EXIF orientation"),
    ...some(odd, "with stray or damaged bytes besides intact pixels"),
  ];
  return [
    `images      ${count} in ${data}`,
    ...(unreadable.length > 0
      ? [
          `unreadable  ${unreadable.length}: ${abbreviated(unreadable.map(({ name }) => name))}. ${unreadable[0]?.problem}`,
        ]
      : []),
    ...(sizes.length === 0 ? [] : linesOnReadable(result, remarks)),
  ];
}
