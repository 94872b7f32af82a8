/** Numbers and lists as shown in messages. */

/** A noise level, to four digits. */
export function formatLevel(level: number): string {
  return Number(level.toPrecision(4)).toString();
}

/** "5s", "3m 07s", "1h 02m 03s", "2d 03h 04m" */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [s, m, h, d] = [
    whole % 60,
    Math.floor(whole / 60) % 60,
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 86_400),
  ];
  if (whole < 60) return `${s}s`;
  if (whole < 3600) return `${m}m ${two(s)}s`;
  if (whole < 86_400) return `${h}h ${two(m)}m ${two(s)}s`;
  return `${d}d ${two(h)}h ${two(m)}m`;
}

/** A name as an element of a list: in quotes if it has a comma or quotes itself. */
export const listed = (name: string): string => (/[,"]/.test(name) ? JSON.stringify(name) : name);

/** "2.0 GiB" */
export function formatBytes(bytes: number): string {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(bytes) / 10)));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${["bytes", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** The first of many names, and the number of the others. */
export function abbreviated(names: readonly string[]): string {
  const shown = names.slice(0, 4).map(listed).join(", ");
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}

/** "0-9,12": whole numbers in order, with ranges for consecutive ones. */
export function formatIntegers(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range && number === range[1] + 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

/** Whether a path is a URL, as the published tools accept. */
export const isUrl = (path: string): boolean => /^[a-z][a-z0-9+.-]+:\/\//i.test(path);

/** A word quoted for a POSIX shell. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
