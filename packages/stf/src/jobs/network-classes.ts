/** The classes of a network, by number and name. */

import type { Snapshot } from "../checkpoints/network-file.js";
import { UsageError } from "../common/errors.js";
import { didYouMean } from "../common/similar.js";
import { abbreviated } from "../common/text.js";
import { storedNames } from "../config/training.js";

/** Names of a network's classes by number; undefined if it was stored without names. */
export const classNamesOf = ({ about }: Snapshot): readonly string[] | undefined => storedNames(about["classNames"]);

/** The class of a name: as written, or regardless of case if only one name fits then. */
function classNamed(label: string, names: readonly string[]): number | undefined {
  const wanted = label.normalize("NFC");
  if (names.includes(wanted)) return names.indexOf(wanted);
  const folded = names.map((name) => name.toLowerCase());
  const first = folded.indexOf(wanted.toLowerCase());
  return first >= 0 && first === folded.lastIndexOf(wanted.toLowerCase()) ? first : undefined;
}

/**
 * The number of the requested class, given by name or number. A text that matches a name is taken as that name.
 *
 * @throws UsageError when the network has no such class.
 */
export function classNumber(label: number | string | null, snapshot: Snapshot): number | null {
  if (label === null) return null;
  const { labelDim } = snapshot.denoiser;
  if (labelDim === 0) {
    throw new UsageError("'class' needs a class-conditional network; this one was trained without 'cond'");
  }
  const names = classNamesOf(snapshot);
  const named = typeof label === "string" && names ? classNamed(label, names) : undefined;
  if (named !== undefined) return named;
  const isNumber = typeof label === "number" || /^\d+$/.test(label);
  if (isNumber && Number(label) < labelDim) return Number(label);
  const range = `from 0 to ${labelDim - 1}`;
  const wanted = names ? `one of ${abbreviated(names)}, or ${range}` : range;
  const advice = names || isNumber ? "" : "; this network was stored without class names";
  throw new UsageError(`'class' must be ${wanted}, found ${label}${advice}${didYouMean(label, names ?? [])}`);
}

/** "cat (number 0)", or "3" if classes have no names. */
export function classTitle(label: number, names: readonly string[] | undefined): string {
  const name = names?.[label];
  return name === undefined ? String(label) : `${name} (number ${label})`;
}

/** Rows of a grid whose classes are listed. */
const MOST_ROWS = 16;

/** A name in a row of names that spaces separate. */
const inRow = (name: string): string => (/[\s,"]/.test(name) ? JSON.stringify(name) : name);

/** The classes of a grid, row by row. */
export function classLegend(classes: readonly number[], columns: number, names: readonly string[] | undefined): string {
  const titles = classes.map((label) => inRow(names?.[label] ?? String(label)));
  const rows = Array.from({ length: Math.ceil(titles.length / columns) }, (_, row) =>
    titles.slice(row * columns, (row + 1) * columns).join(" "),
  );
  const rest = rows.length > MOST_ROWS ? ` and ${rows.length - MOST_ROWS} more rows` : "";
  return `classes in the grid, row by row: ${rows.slice(0, MOST_ROWS).join(", ")}${rest}`;
}
