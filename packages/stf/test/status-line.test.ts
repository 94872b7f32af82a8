/** The status line on terminals of known and unknown width. */

import { afterEach, expect, test, vi } from "vitest";
import { StatusLine } from "../src/cli/progress.js";

const { isTTY, columns } = process.stdout;
afterEach(() => {
  vi.restoreAllMocks();
  Object.assign(process.stdout, { isTTY, columns });
});

test.each([
  [40, 39],
  [0, 79],
  [undefined, 79],
])("a terminal of %s columns shows %s characters of a long line", (width, shown) => {
  const written: string[] = [];
  Object.assign(process.stdout, { isTTY: true, columns: width });
  vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  vi.spyOn(performance, "now").mockReturnValue(1e9);
  new StatusLine().update("x".repeat(200));
  expect(written).toEqual([`\r\x1b[K${"x".repeat(shown)}`]);
});
