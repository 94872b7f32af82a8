/** The page of an analysis in a browser: Chromium or Chrome without a window. `npm run test:full` installs one if it can. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBrowser } from "../../../scripts/browser.mjs";
import { formatMeasured, formatNumber } from "../src/pages/page-numbers.js";
import { variancePage } from "../src/pages/variance-page.js";
import type { VariancePage, VarianceReport } from "../src/run/variance-report.js";
import { levelsBetween, plausiblePage, plausibleReport } from "./variance-page-support.js";

const executablePath = findBrowser();

describe.skipIf(executablePath === undefined)("in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "stf-page-"));
  let browser: Browser;

  beforeAll(async () => {
    // Chromium's own sandbox does not start for root, as in many containers. The pages are ours.
    browser = await chromium.launch({ executablePath: executablePath as string, args: ["--no-sandbox"] });
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Opened {
    readonly tab: Page;
    /** Errors, warnings, and addresses that are neither the file nor inside it. */
    readonly complaints: string[];
  }

  async function open(page: VariancePage, { width = 1440, height = 900, dark = false } = {}): Promise<Opened> {
    const file = join(folder, "page.html");
    writeFileSync(file, variancePage(page));
    const tab = await browser.newPage({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
    const complaints: string[] = [];
    tab.on("console", (message) => complaints.push(message.text()));
    tab.on("pageerror", (error) => complaints.push(String(error)));
    tab.on("request", (request) => {
      if (!request.url().startsWith("data:") && request.url() !== pathToFileURL(file).href)
        complaints.push(request.url());
    });
    await tab.goto(pathToFileURL(file).href);
    await tab.waitForFunction("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg'))");
    return { tab, complaints };
  }

  const page = plausiblePage(plausibleReport(levelsBetween(12)));
  const { report } = page;

  const outputs = (tab: Page, chart: string): Promise<string[]> =>
    tab.locator(`#${chart} .legend output`).allTextContents();

  const variances = (index: number, unit: "denoiser" | "score" | "loss" = "denoiser"): string[] => {
    const level = report.levels[index] as VarianceReport["levels"][number];
    const factor = unit === "denoiser" ? 1 : level.factors[unit];
    return [level.floor, ...level.stable.slice(1)].map((measured) => formatMeasured(measured, factor));
  };

  /** The pixel on a chart's x axis where a noise level is, from its ticks. */
  async function placeOf(tab: Page, chart: string, sigma: number): Promise<{ x: number; y: number }> {
    const labels = tab.locator(`#${chart} [aria-label="x-axis tick label"] text`);
    const ends = [];
    for (const label of [labels.first(), labels.last()]) {
      const { x, width, y } = (await label.boundingBox()) as { x: number; y: number; width: number };
      ends.push({ value: Math.log(Number(await label.textContent())), x: x + width / 2, y });
    }
    const [a, b] = ends as [(typeof ends)[0] & object, (typeof ends)[0] & object];
    return { x: a.x + ((b.x - a.x) * (Math.log(sigma) - a.value)) / (b.value - a.value), y: a.y - 60 };
  }

  test.each([
    [1440, 900, false],
    [1440, 900, true],
    [390, 844, false],
    [390, 844, true],
  ])("opens without complaints at %i x %i, dark: %s", async (width, height, dark) => {
    const { tab, complaints } = await open(page, { width, height, dark });
    expect(await tab.evaluate("document.documentElement.scrollWidth")).toBe(width);
    expect(await tab.locator(".plot svg").count()).toBe(9);
    const background = await tab.evaluate("getComputedStyle(document.body).backgroundColor");
    const [red] = /\d+/.exec(String(background)) ?? [];
    expect(Number(red) < 128).toBe(dark);
    // Nothing of a chart is cut off on the left, nor wider than the page.
    for (const box of await Promise.all((await tab.locator(".plot text").all()).map((text) => text.boundingBox()))) {
      if (box && box.width > 0) {
        expect(box.x).toBeGreaterThanOrEqual(0);
        expect(box.x + box.width).toBeLessThanOrEqual(width);
      }
    }
    expect(complaints).toEqual([]);
    await tab.close();
  });

  test("shows the values of all curves under the pointer, in all charts", async () => {
    const { tab, complaints } = await open(page);
    for (const index of [3, 8]) {
      await tab.locator("#variance-chart .plot").scrollIntoViewIfNeeded();
      const { x, y } = await placeOf(tab, "variance-chart", report.levels[index]?.sigma ?? 0);
      await tab.mouse.move(x, y);
      expect(await outputs(tab, "variance-chart")).toEqual(variances(index));
      const text = `σ = ${formatNumber(report.levels[index]?.sigma, 4)}`;
      for (const where of await tab.locator(".where").allTextContents()) expect(where).toContain(text);
      expect(await outputs(tab, "effective-chart")).toEqual([
        formatMeasured(report.levels[index]?.posterior?.effective),
      ]);
    }
    expect(complaints).toEqual([]);
    await tab.close();
  });

  test("follows the keys", async () => {
    const { tab } = await open(page);
    const chart = tab.locator("#variance-chart .plot");
    await chart.focus();
    for (const [key, index] of [
      ["Home", 0],
      ["ArrowRight", 1],
      ["ArrowUp", 2],
      ["ArrowLeft", 1],
      ["End", 11],
      ["ArrowRight", 11],
      ["PageDown", 6],
    ] as const) {
      await chart.press(key);
      expect(await outputs(tab, "variance-chart")).toEqual(variances(index));
      expect(await chart.getAttribute("aria-valuenow")).toBe(String(index));
    }
    expect(await chart.getAttribute("aria-valuetext")).toContain(`V_STF(16): ${variances(6)[1]}`);
    await tab.close();
  });

  test("changes units and axes", async () => {
    const { tab, complaints } = await open(page);
    const controls = tab.locator("#variance-chart .controls");
    await tab.locator("#variance-chart .plot").press("End");
    for (const [label, unit] of [
      ["score", "score"],
      ["training loss", "loss"],
      ["denoiser", "denoiser"],
    ] as const) {
      await controls.getByLabel(label, { exact: true }).check();
      expect(await outputs(tab, "variance-chart")).toEqual(variances(11, unit));
    }
    const lines = tab.locator('#variance-chart [aria-label="line"] path');
    const lowest = (): Promise<string | null> => lines.nth(4).getAttribute("d");
    const outside = await lowest();
    await controls.getByLabel("linear").check();
    expect(await lowest()).not.toBe(outside);
    await controls.getByLabel("the paper’s bound").check();
    expect(await lines.count()).toBe(9);
    expect((await outputs(tab, "variance-chart")).at(-1)).toBe(formatNumber(report.levels[11]?.bound[4]));
    const label = tab.locator('#ratio-chart [aria-label="x-axis label"]');
    expect(await label.textContent()).toContain("noise level");
    await controls.getByLabel("time", { exact: true }).check();
    expect(await label.textContent()).toContain("time of the process ve");
    expect(complaints).toEqual([]);
    await tab.close();
  });

  test("goes through the noise levels of an image, and through images", async () => {
    const { tab } = await open(page);
    const slider = tab.locator("#level");
    const sources = (row: string): Promise<(string | null)[]> =>
      tab
        .locator(`.row:has(h3:text-is("${row}")) img`)
        .evaluateAll((images) => images.map((image) => image.getAttribute("src")));
    await slider.press("Home");
    for (const [number, level] of [
      [0, 0],
      [0, 1],
      [2, 1],
    ] as const) {
      if (level > 0 && number === 0) await slider.press("ArrowRight");
      if (number > 0) await tab.locator(".examples input").nth(number).check();
      const example = page.examples[number];
      const picture = example?.levels[level];
      expect(await sources("Noisy image")).toEqual([picture?.noisy, example?.source]);
      expect(await sources("Targets")).toEqual(picture?.targets);
      expect(await sources("Networks")).toEqual(picture?.networks);
      expect(await sources("Most probable sources")).toEqual(picture?.nearest.map(({ image }) => image));
      expect(await slider.getAttribute("aria-valuetext")).toBe(`σ = ${formatNumber(picture?.sigma)}`);
    }
    // The charts have followed.
    expect(await outputs(tab, "variance-chart")).toEqual(variances(1));
    await tab.close();
  });

  test("chooses among networks", async () => {
    const { tab } = await open(page);
    await tab.locator("#loss-chart .plot").press("End");
    await tab.locator("#loss-chart").getByLabel("network-400000").check();
    const { seen, unseen } = report.networks[2]?.levels[11] ?? {};
    const expected = [report.levels[11]?.floor, seen?.loss, seen?.excess, unseen?.loss, unseen?.exact];
    expect(await outputs(tab, "loss-chart")).toEqual(expected.map((measured) => formatMeasured(measured)));
    await tab.close();
  });

  const odd = plausibleReport(levelsBetween(6));
  const nothing = { value: Number.NaN };
  const unusual: readonly (readonly [string, VarianceReport])[] = [
    ["one level", plausibleReport([1])],
    ["one number of references", plausibleReport(levelsBetween(5), [1])],
    ["time from 0 to 1", { ...odd, levels: odd.levels.map((level, k) => ({ ...level, time: k / 5 })) }],
    [
      "zeros, negative estimates and missing numbers",
      {
        ...odd,
        levels: odd.levels.map((level, k) => {
          const floor = [{ value: 0 }, { value: -1e-5, error: 1e-4 }, nothing][k % 3] as { value: number };
          const stable = level.stable.map(() => floor);
          return { ...level, floor, stable, bound: level.bound.map(() => null), explainable: nothing };
        }),
        networks: odd.networks.map(({ file, levels }, k) => ({
          file,
          levels: levels.map(({ seen, unseen }) => ({
            seen: { loss: { value: seen.loss.value }, excess: nothing, explained: nothing },
            ...(k === 0 && unseen ? { unseen: { ...unseen, gap: { value: 0 } } } : {}),
          })),
        })),
        phases: { ...odd.phases, sourceUpTo: null, priorFrom: null },
      },
    ],
    [
      "a distribution in closed form",
      {
        ...odd,
        data: { ...odd.data, count: null, name: "</title><b>'\"" },
        levels: odd.levels.map(({ posterior: _, ...level }) => level),
        networks: [],
        bias: [],
        costs: [],
      },
    ],
    ["a million images", { ...odd, data: { ...odd.data, count: 14_197_122 } }],
  ];

  test.each(unusual)("shows %s", async (_, special) => {
    for (const width of [1440, 390]) {
      const { tab, complaints } = await open({ report: special, examples: [] }, { width });
      await tab.locator("#variance-chart .plot").press("Home");
      if (await tab.getByLabel("linear").count()) await tab.getByLabel("linear").check();
      expect(await tab.evaluate("document.documentElement.scrollWidth")).toBe(width);
      expect(
        await tab.locator(".plot").evaluateAll((plots) => plots.map((plot) => plot.innerHTML).join("")),
      ).not.toMatch(/NaN|undefined|Infinity/);
      expect(await tab.locator("main").textContent()).not.toMatch(/NaN|undefined|Infinity/);
      expect(complaints).toEqual([]);
      await tab.close();
    }
  });
});
