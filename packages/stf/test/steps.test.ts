/** Schedules of extreme numbers: noise levels that descend as finite numbers, or one line that says they do not. */

import { expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { scheduledProcess } from "../src/processes/scheduled.js";
import { discretizations, karrasSteps, timeSteps } from "../src/sampling/steps.js";

const { edm, vp, ve } = discretizations;
const usual = { sigmaMin: 0.002, sigmaMax: 80 };

test.each<[string, () => unknown, RegExp]>([
  ["an exponent near 0", () => edm.levels(4, usual, 1e-5), /with rho 0\.00001 must be finite.*found NaN.*'rho'/],
  ["an exponent beyond precision", () => edm.levels(4, usual, 1e20), /found 1 after 1/],
  ["ends that rounding has moved", () => edm.levels(4, usual, 1e15), /found 84\.\d+ to 0\.0019/],
  ["ends too near to each other", () => edm.levels(4, { sigmaMin: 80 - 1.5e-14, sigmaMax: 80 }, 7), /must be finite/],
  ["a lowest level that is lost", () => edm.levels(4, { ...usual, sigmaMin: 1e-300 }, 7), /found 0 after 0\.036/],
  ["a highest level without end", () => karrasSteps(4, { sigmaMax: 1e300 }), /found 0 after/],
  ["a process without such levels", () => vp.levels(4, { sigmaMin: 0.01, sigmaMax: 1e200 }, 7), /must be finite.*NaN/],
  ["levels below all precision", () => ve.levels(4, { sigmaMin: 1e-320, sigmaMax: 100 }, 7), /must be finite/],
  [
    "times that are not finite",
    () => timeSteps([1e200, 1], scheduledProcess("vp", "vp", { sigmaMin: 0.002, sigmaMax: 1e200 })),
    /no finite time for the noise level 1e\+200/,
  ],
])("%s", (_, make, says) => {
  expect(make).toThrow(UsageError);
  expect(make).toThrow(says);
});

test("large exponents and many steps that still descend are taken", () => {
  for (const levels of [edm.levels(18, usual, 1e9), edm.levels(100_000, usual, 7)]) {
    expect(levels[0]).toBeCloseTo(80, 3);
    expect(levels.at(-1)).toBeCloseTo(0.002, 6);
    expect(levels.every((level, i) => i === 0 || level < levels[i - 1]!)).toBe(true);
  }
});
