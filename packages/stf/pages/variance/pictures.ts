/** Noisy images with what could have produced them: a slider over noise levels, and a choice among examples. */

import { formatCount, formatNumber, formatShare } from "../../src/pages/page-numbers.js";
import type { PosteriorExample, PosteriorPicture } from "../../src/run/variance-report.js";
import { byId, element } from "../common/element.js";
import { Shared } from "../common/shared.js";
import { shortNames } from "./network-charts.js";
import { nearestLevel, type State } from "./state.js";

/** Mounts the pictures if their place is on the page. */
export function mountPictures(state: State, examples: readonly PosteriorExample[]): void {
  const host = byId("pictures");
  if (!host || examples.length === 0) return;
  const example = new Shared(0);
  const levels = examples[0]?.levels ?? [];
  const start = levels.findIndex(({ sigma }) => sigma >= state.report.phases.scorePeak);
  const slider = element("input", { type: "range", min: "0", max: String(levels.length - 1), step: "1", id: "level" });
  slider.value = String(Math.max(start, 0));
  const where = element("output", { for: "level" });
  const shown = element("div", { class: "shown" });
  const show = (): void => {
    const current = examples[example.value];
    const picture = current?.levels[Number(slider.value)];
    if (!current || !picture) return;
    const text = `σ = ${formatNumber(picture.sigma, 3)}`;
    where.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    shown.replaceChildren(...parts(state, current, picture));
  };
  slider.addEventListener("input", () => {
    show();
    const sigma = examples[example.value]?.levels[Number(slider.value)]?.sigma;
    if (sigma !== undefined) state.level.value = nearestLevel(state.report, sigma);
  });
  const label = element("label", { class: "slider", for: "level" }, "Noise level ", where);
  if (examples.length > 1) host.append(thumbnails(examples, example));
  host.append(label, slider, shown);
  example.onChange(show);
  show();
}

function thumbnails(examples: readonly PosteriorExample[], chosen: Shared<number>): HTMLElement {
  const labels = examples.map(({ source }, k) => {
    const input = element("input", { type: "radio", name: "example", value: String(k) });
    input.checked = k === chosen.value;
    input.addEventListener("change", () => {
      chosen.value = k;
    });
    return element("label", {}, input, image(source, `image ${k + 1}`));
  });
  return element("fieldset", { class: "examples" }, element("legend", {}, "Source"), element("div", {}, ...labels));
}

const image = (source: string, alt: string): HTMLElement => element("img", { src: source, alt, class: "pixels" });

const figure = (source: string, caption: string): HTMLElement =>
  element("figure", {}, image(source, caption), element("figcaption", {}, caption));

function row(title: string, about: string, ...children: readonly HTMLElement[]): HTMLElement {
  const images = element("div", { class: "images" }, ...children);
  const made = element("section", { class: "row" }, element("h3", {}, title), element("p", {}, about), images);
  made.style.setProperty("--count", String(children.length));
  return made;
}

function parts({ report }: State, { source }: PosteriorExample, picture: PosteriorPicture): HTMLElement[] {
  const names = shortNames(report.networks.map(({ file }) => file));
  const targets = picture.targets.map((target, k) => {
    const count = report.references[k] ?? 1;
    const caption = count === 1 ? "DSM: the source" : count === "all" ? "all: exact" : `STF(${formatCount(count)})`;
    return figure(target, caption);
  });
  const rows = [
    row("Noisy image", "The input, and its source.", figure(picture.noisy, "noisy"), figure(source, "source")),
    row("Targets", "What training asks the network to return for it, by the number of references.", ...targets),
  ];
  if (picture.networks.length > 0) {
    const outputs = picture.networks.map((output, k) => figure(output, names[k] ?? `network ${k + 1}`));
    rows.push(row("Networks", "What they return for it.", ...outputs));
  }
  rows.push(nearest(picture));
  return rows;
}

/** The most probable sources, with bars as long as their weights. */
function nearest({ nearest: images }: PosteriorPicture): HTMLElement {
  const figures = images.map(({ image: data, weight, isSource }, k) => {
    const bar = element("span", { class: "weight" });
    bar.style.setProperty("--weight", String(Math.min(1, Math.max(0, weight))));
    const caption = element("figcaption", {}, bar, formatShare(weight), isSource ? " source" : "");
    return element("figure", isSource ? { class: "is-source" } : {}, image(data, `reference ${k + 1}`), caption);
  });
  const sum = images.reduce((total, { weight }) => total + weight, 0);
  const about = `Images that could have produced it, with posterior weights; together ${formatShare(Math.min(1, sum))}.`;
  return row("Most probable sources", about, ...figures);
}
