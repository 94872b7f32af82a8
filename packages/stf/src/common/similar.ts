/** Words that were probably meant. */

/** Number of letters to insert, remove, replace or swap with their neighbours (Damerau, 1964; no letter twice). */
function distance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= from.length; i++) {
    const [before, above, row]: [number[] | undefined, number[], number[]] = [
      rows[i - 2],
      rows[i - 1] as number[],
      [i],
    ];
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1];
      const isSwapped = before && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      row[j] = Math.min(
        (above[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (above[j - 1] as number) + Number(!isSame),
        isSwapped ? (before[j - 2] as number) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    rows.push(row);
  }
  return (rows[from.length] as number[])[to.length] as number;
}

/** Longer texts are compared with nothing. */
const LONGEST = 100;

/** The word most like a misspelt one; undefined if none is like it. Case does not matter. */
export function mostSimilar(misspelt: string, words: readonly string[]): string | undefined {
  if (misspelt.length > LONGEST) return undefined;
  let best: { word: string; errors: number } | undefined;
  for (const word of words) {
    if (word.length > LONGEST) continue;
    const errors = distance(misspelt.toLowerCase(), word.toLowerCase());
    const isLike = errors <= 3 && errors <= 0.4 * Math.max(word.length, misspelt.length);
    if (isLike && errors < (best?.errors ?? Number.POSITIVE_INFINITY)) best = { word, errors };
  }
  return best?.word;
}

/** "; did you mean heun?", or nothing: the end of a message about a word that is not among those allowed. */
export function didYouMean(misspelt: unknown, words: readonly string[]): string {
  const word = typeof misspelt === "string" ? mostSimilar(misspelt, words) : undefined;
  return word === undefined ? "" : `; did you mean ${word}?`;
}
