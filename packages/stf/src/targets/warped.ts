/** The targets of samples whose transform is not a flip: it is applied to their references. */

import { cat, noGrad, scope, type Tensor, tensor } from "@stf/torch";
import { transformDifferences } from "../augmentation/apply.js";
import type { Bank } from "../data/bank.js";
import { VectorBank } from "../data/vector-bank.js";
import { bySamples, positionsOf, type SampleGroup } from "./groups.js";
import { type Members, membersFor, type References } from "./references.js";
import { type PerturbedBatch, type ReferenceTarget, selectSamples, type TransformedReferences } from "./target.js";

/** Values of transformed references that are held at a time. */
const VALUES_AT_ONCE = 2 ** 22;

/** A sample's references as a list, and their bank. */
interface Sample {
  readonly bank: Bank;
  readonly members: Members;
}

/** The target of every sample, float32 `[B, C, H, W]`. Memory use is that of a few references, whatever the batch. */
export function warpedTarget(target: ReferenceTarget, batch: PerturbedBatch, references: References): Tensor {
  const samples = Array.from(batch.indices, (source): Sample => {
    const set = references(source);
    return { bank: set.bank, members: membersFor(source, set) };
  });
  const groups: SampleGroup[] = [];
  for (const rows of rowsAlike(samples)) {
    const { bank, members } = samples[rows[0] as number] as Sample;
    const values = (members.items.length - 1) * bank.dimension;
    const together = Math.max(1, Math.floor(VALUES_AT_ONCE / Math.max(1, values)));
    for (let first = 0; first < rows.length; first += together) {
      const some = rows.slice(first, first + together);
      const own = some.map((row) => (samples[row] as Sample).members);
      groups.push({ rows: some, target: (part) => targetOfSome(target, part, bank, own) });
    }
  }
  return noGrad(() => bySamples(batch, groups));
}

/** The rows of samples that have as many references, of one bank. */
function rowsAlike(samples: readonly Sample[]): number[][] {
  const ofBank = positionsOf(samples.map(({ bank }) => bank));
  return [...ofBank.values()].flatMap((rows) => {
    const ofLength = positionsOf(rows.map((row) => (samples[row] as Sample).members.items.length));
    return Array.from(ofLength.values(), (places) => places.map((place) => rows[place] as number));
  });
}

function targetOfSome(target: ReferenceTarget, batch: PerturbedBatch, bank: Bank, members: readonly Members[]): Tensor {
  return scope(() => {
    const transformed = transformedReferences(batch, bank, members);
    return target.ofTransformed
      ? target.ofTransformed(batch, transformed)
      : targetOfEach(target, batch, bank, transformed);
  });
}

/** Items in the bank's own units, in a dtype that differences can be taken in without rounding; a new tensor. */
function signedRows(bank: Bank, indices: Int32Array): Tensor {
  const rows = bank.gather(indices);
  return rows.dtype === "uint8" ? rows.float() : rows;
}

/** Only differences to the source are transformed: they are exact in the bank's own units, and so small where it matters. */
function transformedReferences(
  { indices, source, augmentation }: PerturbedBatch,
  bank: Bank,
  members: readonly Members[],
): TransformedReferences {
  // The source is the first member of each.
  const count = (members[0] as Members).items.length - 1;
  const others = Int32Array.from(members.flatMap(({ items }) => [...items.subarray(1)]));
  const isWeighted = members.some(({ logWeights }) => logWeights !== undefined);
  const logWeights = members.flatMap((own) => [...(own.logWeights?.subarray(1) ?? new Float64Array(count))]);
  const shape = [members.length, count];
  const sources = signedRows(bank, indices).unsqueeze(1);
  const differences = signedRows(bank, others)
    .view([...shape, bank.dimension])
    .sub_(sources)
    .div_(bank.unit)
    .view([...shape, ...source.shape.slice(1)]);
  return {
    differences: augmentation ? transformDifferences(differences, augmentation) : differences,
    logWeights: isWeighted ? tensor(Float64Array.from(logWeights), { shape, device: bank.device }) : undefined,
  };
}

/** Calls a target that supports only references in a bank, with a separate bank for each sample. */
function targetOfEach(
  target: ReferenceTarget,
  batch: PerturbedBatch,
  { name, shape, dimension }: Bank,
  { differences, logWeights }: TransformedReferences,
): Tensor {
  const targets = Array.from(batch.indices, (_, row) => {
    const source = batch.source.select(0, row).double().view([1, dimension]);
    const others = differences.select(0, row).double().view([-1, dimension]).add(source);
    const bank = new VectorBank(name, cat([source, others]), { shape });
    const sample = { ...selectSamples(batch, [row]), indices: Int32Array.of(0), augmentation: undefined };
    const own = logWeights && Float64Array.of(0, ...logWeights.select(0, row).toFloat64Array());
    try {
      return target.of(sample, { bank, pool: "all", logWeights: own });
    } finally {
      bank.dispose();
    }
  });
  return cat(targets);
}
