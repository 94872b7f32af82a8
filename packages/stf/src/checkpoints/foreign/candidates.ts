/**
 * The networks among named tensors, under any wrappers: compilers, parallel training, averages and training
 * frameworks put prefixes before the names, in any order and number. A network is recognised by the first convolution of its
 * encoder; everything before that is the prefix.
 */

/** Prefixes of compilers and parallel training, which say nothing about the network. */
const TRANSPARENT = new Set(["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]);

/** The first convolution of an encoder, which every known network has. */
const STEM = /^enc\.(\d+)x\1_conv\.weight$/;

/** The parts of a network. */
const PART = /^(enc|dec|map_\w+|out_\w+)$/;

/** The first convolution in an average whose names have lost their dots; the group is the prefix. */
const DOTLESS_STEM = /^(.*)enc(\d+)x\2_convweight$/;

/** Tensors that are not parameters; averages leave them out. */
const BUFFER = /(^|\.)(resample_filter|freqs|u)$/;

/** Names of averages of weights. Adam's moments, called exp_avg, are not averages of weights. */
const AVERAGE = /(^|[^a-z])(ema|shadow|swa|average[ds]?|polyak)([^a-z]|$)/i;

interface Shaped {
  readonly shape: readonly number[];
}

/** One of the networks in a file. */
export interface Candidate<T extends Shaped = Shaped> {
  /** Keys of the dictionaries that contain it. */
  readonly place: readonly string[];
  /** The name parts before the network's own. */
  readonly prefix: readonly string[];
  /** Tensors by published name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, T>;
  /** The names in the file, by published names. */
  readonly names: ReadonlyMap<string, string>;
  /** Names of the other tensors in the same dictionary. */
  readonly others: readonly string[];
  /** Whether it is an average of the weights, judging by names. */
  readonly isAveraged: boolean;
}

/** Whether one of the names is one of an average. */
export const isAverageName = (names: readonly string[]): boolean => names.some((name) => AVERAGE.test(name));

const withoutTransparent = (names: readonly string[]): string[] => names.filter((name) => !TRANSPARENT.has(name));

/** The name of a network in its file; undefined if none is needed. */
export function labelOf({ place, prefix }: Pick<Candidate, "place" | "prefix">): string | undefined {
  const telling = withoutTransparent(prefix);
  // The published wrappers hold their network under this name.
  if (telling.at(-1) === "model") telling.pop();
  const all = [...place, ...telling];
  return all.length === 0 ? undefined : all.join(".");
}

/** Whether a name is that of a tensor of the network with a prefix; without the prefix, as published. */
function publishedName(parts: readonly string[], prefix: readonly string[]): string | undefined {
  if (parts.length <= prefix.length || prefix.some((name, i) => parts[i] !== name)) return undefined;
  // Without a prefix, everything else in the file is not part of it.
  if (prefix.length === 0 && !PART.test(parts[0] as string)) return undefined;
  return ["model", ...withoutTransparent(parts.slice(prefix.length))].join(".");
}

/** The prefixes of all networks among the names, longest first. */
function prefixesOf(names: readonly (readonly string[])[]): string[][] {
  const found = new Map<string, string[]>();
  for (const parts of names) {
    const at = parts.findIndex((part, i) => part === "enc" && STEM.test(withoutTransparent(parts.slice(i)).join(".")));
    if (at >= 0) found.set(parts.slice(0, at).join("."), parts.slice(0, at));
  }
  return [...found.values()].sort((a, b) => b.length - a.length);
}

/** A tensor that a wrapper of a network keeps next to it. */
function besides<T>(tensors: ReadonlyMap<string, T>, prefix: readonly string[], name: string): string | undefined {
  const places = Array.from({ length: prefix.length + 1 }, (_, i) => prefix.slice(0, prefix.length - i));
  return places.map((place) => [...place, name].join(".")).find((path) => tensors.has(path));
}

/**
 * The networks among tensors.
 *
 * @param place - keys of the dictionaries that contain the tensors
 */
export function networksAmong<T extends Shaped>(
  tensors: ReadonlyMap<string, T>,
  place: readonly string[] = [],
): Candidate<T>[] {
  const names = Array.from(tensors.keys(), (name) => ({ name, parts: name.split(".") }));
  const taken = new Set<string>();
  const found = prefixesOf(names.map(({ parts }) => parts)).map((prefix): Candidate<T> => {
    const own = new Map<string, string>();
    for (const { name, parts } of names) {
      const published = taken.has(name) ? undefined : publishedName(parts, prefix);
      if (published === undefined) continue;
      own.set(published, name);
      taken.add(name);
    }
    // The noise levels of an improved DDPM.
    const levels = besides(tensors, prefix, "u");
    if (levels !== undefined && !taken.has(levels)) own.set("u", levels);
    const used = new Set(own.values());
    const isAveraged = isAverageName([...place, ...prefix]) || besides(tensors, prefix, "n_averaged") !== undefined;
    return {
      place,
      prefix,
      names: own,
      tensors: new Map([...own].map(([published, name]) => [published, tensors.get(name) as T])),
      others: [...tensors.keys()].filter((name) => !used.has(name)),
      isAveraged,
    };
  });
  // In the order of the file.
  found.reverse();
  return [...found, ...found.flatMap((network) => dotlessAverage(tensors, network))];
}

/** The average of a network whose names have lost their dots, as latent-diffusion code writes it. */
function dotlessAverage<T extends Shaped>(tensors: ReadonlyMap<string, T>, network: Candidate<T>): Candidate<T>[] {
  for (const stem of tensors.keys()) {
    const parts = stem.split(".");
    const before = DOTLESS_STEM.exec(parts.at(-1) as string)?.[1];
    if (before === undefined || !isAverageName(parts.slice(0, -1))) continue;
    const { prefix } = network;
    const start = prefix.findIndex((_, i) => prefix.slice(i).join("") === before);
    if (start < 0 && before !== "") continue;
    const skipped = start < 0 ? prefix.length : start;
    const place = parts.slice(0, -1);
    const names = new Map(
      [...network.names].map(([published, name]) => {
        const dotless = [...place, name.split(".").slice(skipped).join("")].join(".");
        return [published, BUFFER.test(published) && !tensors.has(dotless) ? name : dotless];
      }),
    );
    if (![...names.values()].every((name) => tensors.has(name))) continue;
    const averaged = new Map([...names].map(([published, name]) => [published, tensors.get(name) as T]));
    const used = new Set(names.values());
    const others = [...tensors.keys()].filter((name) => !used.has(name));
    return [{ place: network.place, prefix: place, names, tensors: averaged, others, isAveraged: true }];
  }
  return [];
}

/** The parameters of a network as a list, in the network's order; undefined if they do not match. */
export function withParameters<T extends Shaped>(
  network: Candidate<T>,
  parameters: readonly T[],
  place: readonly string[],
): Candidate<T> | undefined {
  const own = [...network.tensors].filter(([name]) => !BUFFER.test(name));
  const isSame = ({ shape }: Shaped, i: number): boolean => String(shape) === String(parameters[i]?.shape);
  if (own.length !== parameters.length || !own.every(([, tensor], i) => isSame(tensor, i))) return undefined;
  const averaged = new Map(own.map(([name], i) => [name, parameters[i] as T]));
  return {
    ...network,
    place,
    prefix: [],
    others: [],
    tensors: new Map([...network.tensors].map(([name, tensor]) => [name, averaged.get(name) ?? tensor])),
    isAveraged: true,
  };
}

/** Names of averages among the tensors that belong to no network. */
export function averagesBeside(tensors: ReadonlyMap<string, Shaped>, networks: readonly Candidate[]): string[] {
  const used = new Set(networks.flatMap(({ names }) => [...names.values()]));
  return [...tensors]
    .filter(([name, { shape }]) => shape.length > 0 && !used.has(name) && isAverageName(name.split(".").slice(0, -1)))
    .map(([name]) => name);
}
