/** The library names options as programs write them, in quotes, such as 'batchGpu' or 'rbatch=all'; a command names its flags. */

import { analyticFields } from "../config/analytic-options.js";
import { analyzeFields } from "../config/analyze-options.js";
import { checkFields, convertFields } from "../config/dataset-options.js";
import { emaFields } from "../config/ema-options.js";
import { evaluateFields } from "../config/evaluate-options.js";
import { featuresFields } from "../config/features-options.js";
import { fidCalcFields, fidRefFields } from "../config/fid-options.js";
import { flagOf } from "../config/fields.js";
import { generateFields } from "../config/generate-options.js";
import { importFields } from "../config/import-options.js";
import { likelihoodFields } from "../config/likelihood-options.js";
import { trainFields } from "../config/train-options.js";

const names = new Set(
  [
    trainFields,
    analyzeFields,
    analyticFields,
    generateFields,
    evaluateFields,
    fidCalcFields,
    fidRefFields,
    likelihoodFields,
    importFields,
    featuresFields,
    emaFields,
    convertFields,
    checkFields,
  ].flatMap((fields) => Object.keys(fields)),
)
  .add("preset")
  .add("resume");

/** A library message with its options as command-line flags. */
export const withFlags = (message: string): string =>
  message.replace(/'([a-zA-Z]\w*)(=[^']*)?'/g, (quoted, name: string, value = "") =>
    names.has(name) ? `${flagOf(name)}${value}` : quoted,
  );
