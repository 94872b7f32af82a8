/** The Fréchet distance between sets of features, and the statistics behind it. */

import { scope } from "@stf/torch";
import { featureStatistics, frechetDistance } from "stf";
import type { GoldenFile } from "./golden-file.js";

/** The published square root of a singular product is good to six or seven digits after the point. */
const PUBLISHED_TOLERANCE = { regular: 1e-10, singular: 1e-6 };

export function checkFrechet(file: GoldenFile): void {
  const cases = file.names
    .filter((name) => name.endsWith(".distance"))
    .map((name) => name.slice(0, -".distance".length));
  for (const name of cases) {
    scope(() => {
      const [first, second] = ["1", "2"].map((side) => {
        const features = file.tensor(`${name}.features${side}`);
        const statistics = featureStatistics(features);
        file.compare(`${name}: mean ${side}`, statistics.mean, file.tensor(`${name}.mu${side}`), 1e-12);
        file.compare(`${name}: covariance ${side}`, statistics.covariance, file.tensor(`${name}.sigma${side}`), 1e-12);
        return statistics;
      }) as [ReturnType<typeof featureStatistics>, ReturnType<typeof featureStatistics>];
      const found = [frechetDistance(first, second)];
      const regular = [first, second].every(({ count, mean }) => (count ?? 0) > mean.numel);
      const scale = first.covariance.trace().item() + second.covariance.trace().item();
      const tolerance = regular ? PUBLISHED_TOLERANCE.regular : PUBLISHED_TOLERANCE.singular;
      file.compareAbsolute(`${name}: distance`, found, file.tensor(`${name}.distance`), tolerance * scale);
      const symmetric = file.tensor(`${name}.distance_symmetric`);
      file.compareAbsolute(`${name}: distance by eigenvalues`, found, symmetric, (regular ? 1e-12 : 1e-7) * scale);
      // Statistics of unknown origin do not tell their rank.
      const unknown = [frechetDistance({ ...first, count: undefined }, { ...second, count: undefined })];
      file.compareAbsolute(`${name}: distance, counts unknown`, unknown, symmetric, (regular ? 1e-12 : 1e-7) * scale);
    });
  }
}
