/** Brings the page of an analysis to life. Its text and tables are there already; charts and pictures come from the data in it. */

import type { VariancePage } from "../src/run/variance-report.js";
import { byId } from "./common/element.js";
import { mountBiasChart } from "./variance/bias-chart.js";
import { mountNetworkCharts } from "./variance/network-charts.js";
import { mountPictures } from "./variance/pictures.js";
import { initialState } from "./variance/state.js";
import { mountTargetCharts } from "./variance/target-charts.js";

const { report, examples } = JSON.parse(byId("data")?.textContent ?? "") as VariancePage;
const state = initialState(report);
mountTargetCharts(state);
mountNetworkCharts(state);
mountBiasChart(state);
mountPictures(state, examples);

for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-copies]")) {
  const text = byId(button.dataset["copies"] ?? "")?.textContent ?? "";
  button.hidden = navigator.clipboard === undefined;
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(text).then(
      () => {
        button.textContent = "Copied";
      },
      () => {
        button.hidden = true;
      },
    );
  });
}
