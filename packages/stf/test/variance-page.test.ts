/** The page and the plot of an analysis, without a browser; variance-page.full.test.ts opens the page. */

import { parseHTML } from "linkedom";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { html, scriptElement } from "../src/pages/html.js";
import { formatMeasured, formatNumber, formatShare, formatTick } from "../src/pages/page-numbers.js";
import { variancePage } from "../src/pages/variance-page.js";
import { variancePlot } from "../src/pages/variance-plot.js";
import type { VariancePage, VarianceReport } from "../src/run/variance-report.js";
import { levelsBetween, plausiblePage, plausibleReport } from "./variance-page-support.js";

/** What a page has to do with names from elsewhere. */
const nasty = `</script><script>throw 1</script><!-- "quoted" & 'so' \u2028 </title>`;

const small = plausibleReport(levelsBetween(6));

/** Some of a DOM: the tests are checked without the types of one. */
interface Elements {
  readonly textContent: string | null;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Elements | null;
  querySelectorAll(selector: string): Iterable<Elements>;
}

const parsed = (text: string): Elements => parseHTML(text).document as unknown as Elements;

const all = (element: Elements, selector: string): Elements[] => [...element.querySelectorAll(selector)];

describe("the page", () => {
  test("needs nothing but itself", () => {
    const text = variancePage(plausiblePage(small));
    const page = parsed(text);
    expect(page.querySelector("meta[http-equiv]")?.getAttribute("content")).toMatch(/^default-src 'none';/);
    const addresses = ["src", "href", "srcset", "action", "data", "poster"].flatMap((name) =>
      all(page, `[${name}]`).map((element) => element.getAttribute(name)),
    );
    expect(addresses).toEqual(["data:,"]);
    expect(page.querySelector("style")?.textContent).not.toMatch(/url\(|@import/);
    const code = text.replace(/\/\*![\s\S]*?\*\//, "");
    // The names of XML's vocabularies look like addresses, but nothing is read from there.
    expect(new Set(code.match(/https?:\/\/[^\s"'`<>]+/g))).toEqual(
      new Set(
        ["2000/svg", "1999/xhtml", "1999/xlink", "2000/xmlns/", "XML/1998/namespace"].map(
          (name) => `http://www.w3.org/${name}`,
        ),
      ),
    );
    expect(text).not.toMatch(/\bfetch\(|XMLHttpRequest|WebSocket|EventSource|importScripts/);
  });

  test("holds its data, whatever they are called", () => {
    const page: VariancePage = {
      report: {
        ...small,
        data: { ...small.data, name: nasty },
        findings: [nasty],
        networks: small.networks.map((network) => ({ ...network, file: nasty })),
        bias: small.bias.map((bias) => ({ ...bias, name: nasty, about: nasty })),
        protocol: { subject: { [nasty]: nasty }, method: { [nasty]: { [nasty]: [nasty, 1] } } },
      },
      examples: [],
    };
    const document = parsed(variancePage(page));
    expect(JSON.parse(document.querySelector("#data")?.textContent ?? "")).toEqual(page);
    expect(all(document, "script")).toHaveLength(2);
    expect(document.querySelector("h1")?.textContent).toBe(nasty);
    expect(document.querySelector(".findings li")?.textContent).toBe(nasty);
    expect(document.querySelector("title")?.textContent).toContain(nasty);
    expect(all(document, "details td").map((cell) => cell.textContent)).toContain(nasty);
  });

  test("shows what suits the data", () => {
    const document = parsed(variancePage(plausiblePage(small)));
    expect(document.querySelector("#options")?.textContent).toBe("--precond=ve --stf=1 --rbatch=1024");
    const usual = { ...small, suggested: { ...small.suggested, options: [] } };
    expect(parsed(variancePage({ report: usual, examples: [] })).querySelector("#options")).toBeNull();
    const tiles = all(document, ".tiles strong").map((tile) => tile.textContent);
    expect(tiles.slice(0, 5)).toEqual(["σ = 0.21", "σ = 31", "σ = 0.42", "σ = 0.6", "1,024"]);
    expect(all(document, ".costs tbody th").map((cell) => cell.textContent)).toEqual([
      "1",
      "16",
      "128",
      "1,024",
      "all",
    ]);
  });

  test("says at which levels training images are known better, and which targets have a bias", () => {
    const document = parsed(variancePage(plausiblePage(small)));
    const rows = all(document, ".numbers").map((table) =>
      all(table, "tbody tr").map((row) => all(row, "td").map((cell) => cell.textContent)),
    );
    const sigma = (k: number): string => formatNumber(small.levels[k]?.sigma);
    // The gap of the last network is 0.7 times that of the exact denoiser at σ = 1.5, and its error 0.0004.
    expect(rows[0]?.[2]?.[2]).toBe(`σ = ${sigma(3)} to ${sigma(3)}`);
    expect(rows.at(-1)?.map((row) => row.at(-1))).toEqual(["none found", "yes", "yes"]);
  });

  test("writes sentences of a terminal with the signs of print", () => {
    const finding =
      "At sigma = 2.01, 16 references leave 9 % (+- 2 %); ln sigma has mean -0.85, in 3 s, of 16-bit sigmas.";
    const document = parsed(variancePage({ report: { ...small, findings: [finding] }, examples: [] }));
    expect(document.querySelector(".findings li")?.textContent).toBe(
      "At σ\u00a0=\u00a02.01, 16 references leave 9\u00a0% (±\u00a02\u00a0%); ln σ has mean −0.85, in 3\u00a0s, of 16-bit sigmas.",
    );
  });

  test("leaves out parts without data", () => {
    const { networks: _, ...rest } = small;
    const levels = rest.levels.map(({ posterior: __, ...level }) => ({ ...level, stable: level.stable.slice(0, 1) }));
    const bare: VarianceReport = {
      ...rest,
      data: { ...rest.data, count: null },
      references: [1],
      levels,
      networks: [],
      bias: [],
      costs: [],
      findings: [],
      phases: { ...rest.phases, sourceUpTo: null, priorFrom: null },
    };
    const document = parsed(variancePage({ report: bare, examples: [] }));
    expect(all(document, ".chart").map((chart) => chart.getAttribute("id"))).toEqual(["variance-chart"]);
    expect(document.querySelector("#pictures")).toBeNull();
    expect(document.querySelector(".findings")).toBeNull();
    expect(document.querySelector(".facts")?.textContent).toContain("closed form");
  });
});

describe("HTML", () => {
  test("templates escape text and keep HTML", () => {
    expect(html`<p title="${`"'<&>`}">${html`<b>${1}</b>`}${null}${false}${["<", html`<i>`]}</p>`.text).toBe(
      '<p title="&quot;&#39;&lt;&amp;&gt;"><b>1</b>&lt;<i></p>',
    );
  });

  test("code means the same as before, and cannot end its element", () => {
    const code = `["</script>", "</SCRIPT ", '<!-- ', /<\\/script/.source]`;
    const { text } = scriptElement(code);
    expect(text.match(/<\/script|<!--/gi)).toHaveLength(1);
    const inner = text.slice("<script>".length, -"</script>".length);
    // biome-ignore lint/security/noGlobalEval: the code is the test's own
    expect(globalThis.eval(inner)).toEqual(globalThis.eval(code));
  });
});

describe("numbers", () => {
  test.each([
    [0, "0"],
    [0.012345, "0.0123"],
    [-0.5, "−0.5"],
    [1_281_167, "1,281,167"],
    [3.4e-7, "3.4 × 10⁻⁷"],
    [-9.999e-12, "−1 × 10⁻¹¹"],
    [2e15, "2 × 10¹⁵"],
    [null, "–"],
    [Number.NaN, "–"],
    [Number.POSITIVE_INFINITY, "∞"],
  ])("%s is %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });

  test("have as many digits as their errors allow, and two standard errors behind ±", () => {
    expect(formatMeasured({ value: 0.123456, error: 0.0021 })).toBe("0.1235 ± 0.0042");
    expect(formatMeasured({ value: 1.5 })).toBe("1.5");
    expect(formatMeasured({ value: 0, error: 1e-5 })).toBe("0 ± 2 × 10⁻⁵");
    expect(formatMeasured({ value: -0.002, error: 0.01 }, 10)).toBe("−0.02 ± 0.2");
    expect(formatMeasured({ value: Number.NaN, error: 1 })).toBe("–");
    expect(formatMeasured(undefined)).toBe("–");
    expect(formatShare(0.1234)).toBe("12.3 %");
    expect([1e5, 1e-4, 1000, 0.3, 0].map(formatTick)).toEqual(["10⁵", "10⁻⁴", "1,000", "0.3", "0"]);
  });
});

describe("the plot", () => {
  /** The position of each tick by its number: horizontal on the x axis, vertical on the y axis. */
  function ticks(panel: Elements, axis: "x" | "y"): [value: number, position: number][] {
    return all(panel, `[aria-label="${axis}-axis tick label"] text`).map((label) => {
      const [, x, y] = /translate\(([-\d.]+),([-\d.]+)\)/.exec(label.getAttribute("transform") ?? "") ?? [];
      const plain = (label.textContent ?? "")
        .replaceAll(",", "")
        .replace(/^10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/, (_, digits: string) => {
          return `1e${[...digits].map((digit) => (digit === "⁻" ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(digit))).join("")}`;
        });
      return [Number(plain), Number(axis === "x" ? x : y)];
    });
  }

  /** The position of a value on a logarithmic axis, from two of its ticks. */
  function place(numbers: readonly [number, number][], value: number): number {
    const [[a, p], [b, q]] = [numbers[0], numbers.at(-1)] as [[number, number], [number, number]];
    return p + ((q - p) * Math.log(value / a)) / Math.log(b / a);
  }

  const points = (path: Elements): [number, number][] =>
    [...(path.getAttribute("d") ?? "").matchAll(/[ML]([-\d.]+),([-\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);

  const curves = (panel: Elements): Elements[] => all(panel, '[aria-label="line"] path');

  const panelOf = (report: VarianceReport, unit: "denoiser" | "score"): Elements =>
    parsed(variancePlot(report)).querySelector(`#${unit}`) as Elements;

  test("is an SVG file with a curve for each number of references that has a variance", async () => {
    const text = variancePlot(small);
    const { width, height, format } = await sharp(Buffer.from(text)).metadata();
    expect([format, width, height]).toEqual(["svg", 920, 350]);
    expect(text).not.toMatch(/NaN|undefined|var\(/);
    // All references of a data set leave none.
    for (const unit of ["denoiser", "score"] as const) expect(curves(panelOf(small, unit))).toHaveLength(4);
    expect(all(parsed(text), "g > text > tspan:nth-child(3)").map(({ textContent }) => textContent)).toEqual([
      "",
      "(16)",
      "(128)",
      "(1024)",
    ]);
  });

  test.each(["denoiser", "score"] as const)("has every point in its place, %s", (unit) => {
    const report = plausibleReport(levelsBetween(9, [0.2, 50]), [1, 64]);
    const panel = panelOf(report, unit);
    const [x, y] = [ticks(panel, "x"), ticks(panel, "y")];
    expect(Math.min(x.length, y.length)).toBeGreaterThan(1);
    const drawn = curves(panel).map(points);
    const shown = 10 ** -4.4;
    const top = Math.max(
      ...report.levels.map(({ floor, factors }) => floor.value * (unit === "score" ? factors.score : 1)),
    );
    for (const [k, curve] of drawn.entries()) {
      expect(curve).toHaveLength(9);
      for (const [index, level] of report.levels.entries()) {
        const value = (k === 0 ? level.floor : level.stable[k])?.value ?? Number.NaN;
        const scaled = unit === "score" ? value / level.sigma ** 4 : value;
        expect(curve[index]?.[0]).toBeCloseTo(place(x, level.sigma), 1);
        // Far below the others a curve leaves the panel.
        if (scaled > shown * top) expect(curve[index]?.[1]).toBeCloseTo(place(y, scaled), 1);
      }
    }
  });

  test("has bands of two standard errors", () => {
    const report = plausibleReport(levelsBetween(3, [1, 10]), [1]);
    const panel = panelOf(report, "denoiser");
    const y = ticks(panel, "y");
    const [band] = all(panel, '[aria-label="area"] path').map(points);
    const heights = report.levels.flatMap(({ floor: { value } }) => [place(y, value * 0.94), place(y, value * 1.06)]);
    const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
    const drawn = sorted(band?.map(([, height]) => height) ?? []);
    for (const [k, height] of sorted(heights).entries()) expect(drawn[k]).toBeCloseTo(height, 1);
  });

  test("manages zeros, negative estimates, missing errors and missing numbers", () => {
    const values = [0, -1e-6, 0.01, Number.NaN, 0.05, 0.06];
    const levels = small.levels.map((level, k) => {
      const measured = { value: values[k] as number };
      return { ...level, floor: measured, stable: level.stable.map(() => measured) };
    });
    const text = variancePlot({ ...small, levels });
    expect(text).not.toMatch(/NaN|Infinity/);
    const panel = panelOf({ ...small, levels }, "denoiser");
    const [curve] = curves(panel).map((path) => path.getAttribute("d") ?? "");
    // Two parts, on both sides of the missing number.
    expect(curve?.match(/M/g)).toHaveLength(2);
    const bottom = Math.max(...ticks(panel, "y").map(([, position]) => position));
    const [zero, negative] = points(curves(panel)[0] as Elements);
    expect(Math.min(zero?.[1] ?? 0, negative?.[1] ?? 0)).toBeGreaterThan(bottom);
  });

  test.each([
    ["one level", plausibleReport([1])],
    ["one number of references", plausibleReport(levelsBetween(5), [1])],
    ["no variance at all", plausibleReport([1e-3, 2e-3])],
    ["many numbers of references", plausibleReport(levelsBetween(5), [1, 2, 4, 8, 16, 32, 64, 1_281_167])],
  ])("manages %s", async (_, report) => {
    const text = variancePlot(report);
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
    await sharp(Buffer.from(text)).png().toBuffer();
  });
});
