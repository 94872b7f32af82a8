/**
 * The names of the tensors in NVIDIA's translation of the Inception network (the detector of its metrics), which follow
 * TensorFlow's graph, and the same tensors' names in torchvision, which the state dict here has.
 */

type Names = Readonly<Record<string, string>>;

const blockA: Names = {
  conv: "branch1x1",
  "tower.conv": "branch5x5_1",
  "tower.conv_1": "branch5x5_2",
  "tower_1.conv": "branch3x3dbl_1",
  "tower_1.conv_1": "branch3x3dbl_2",
  "tower_1.conv_2": "branch3x3dbl_3",
  "tower_2.conv": "branch_pool",
};

const blockB: Names = {
  conv: "branch3x3",
  "tower.conv": "branch3x3dbl_1",
  "tower.conv_1": "branch3x3dbl_2",
  "tower.conv_2": "branch3x3dbl_3",
};

const blockC: Names = {
  conv: "branch1x1",
  "tower.conv": "branch7x7_1",
  "tower.conv_1": "branch7x7_2",
  "tower.conv_2": "branch7x7_3",
  "tower_1.conv": "branch7x7dbl_1",
  "tower_1.conv_1": "branch7x7dbl_2",
  "tower_1.conv_2": "branch7x7dbl_3",
  "tower_1.conv_3": "branch7x7dbl_4",
  "tower_1.conv_4": "branch7x7dbl_5",
  "tower_2.conv": "branch_pool",
};

const blockD: Names = {
  "tower.conv": "branch3x3_1",
  "tower.conv_1": "branch3x3_2",
  "tower_1.conv": "branch7x7x3_1",
  "tower_1.conv_1": "branch7x7x3_2",
  "tower_1.conv_2": "branch7x7x3_3",
  "tower_1.conv_3": "branch7x7x3_4",
};

const blockE: Names = {
  conv: "branch1x1",
  tower_conv: "branch3x3_1",
  tower_mixed_conv: "branch3x3_2a",
  tower_mixed_conv_1: "branch3x3_2b",
  tower_1_conv: "branch3x3dbl_1",
  tower_1_conv_1: "branch3x3dbl_2",
  tower_1_mixed_conv: "branch3x3dbl_3a",
  tower_1_mixed_conv_1: "branch3x3dbl_3b",
  tower_2_conv: "branch_pool",
};

const stem: Names = {
  conv: "Conv2d_1a_3x3",
  conv_1: "Conv2d_2a_3x3",
  conv_2: "Conv2d_2b_3x3",
  conv_3: "Conv2d_3b_1x1",
  conv_4: "Conv2d_4a_3x3",
};

const blocks: readonly (readonly [here: string, there: string, names: Names])[] = [
  ["Mixed_5b", "mixed", blockA],
  ["Mixed_5c", "mixed_1", blockA],
  ["Mixed_5d", "mixed_2", blockA],
  ["Mixed_6a", "mixed_3", blockB],
  ["Mixed_6b", "mixed_4", blockC],
  ["Mixed_6c", "mixed_5", blockC],
  ["Mixed_6d", "mixed_6", blockC],
  ["Mixed_6e", "mixed_7", blockC],
  ["Mixed_7a", "mixed_8", blockD],
  ["Mixed_7b", "mixed_9", blockE],
  ["Mixed_7c", "mixed_10", blockE],
];

/** The parts of a convolution with its normalisation, which has no factor there. */
const parts: Names = {
  weight: "conv.weight",
  beta: "bn.bias",
  mean: "bn.running_mean",
  var: "bn.running_var",
};

/** Whether tensors have these names. */
export const isDetector = (weights: { has(name: string): boolean }): boolean => weights.has("layers.conv.beta");

/** Torchvision's names by NVIDIA's. */
export function namesOfDetector(): Map<string, string> {
  const convolutions = [
    ...Object.entries(stem),
    ...blocks.flatMap(([here, there, names]) =>
      Object.entries(names).map(([theirs, ours]) => [`${there}.${theirs}`, `${here}.${ours}`] as const),
    ),
  ];
  const tensors = convolutions.flatMap(([theirs, ours]) =>
    Object.entries(parts).map(([part, name]): [string, string] => [`layers.${theirs}.${part}`, `${ours}.${name}`]),
  );
  return new Map([...tensors, ["output.weight", "fc.weight"], ["output.bias", "fc.bias"]]);
}
