/** Reading image files into a data set. */

import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import sharp from "sharp";
import { openDataset } from "stf";
import { ZipFile } from "yazl";
import { type Bench, type Benchmark, compare, imagesPerSecond, type Opponent } from "../benchmark.js";

const formats = ["png", "jpeg"] as const;
const containers = ["folder", "zip"] as const;
const COUNT = 4000;
/** Height and width, typical of the images that networks of this kind are trained on. */
const SIZE = 64;

type Format = (typeof formats)[number];
type Container = (typeof containers)[number];

/** Waves, each image with its own colour and direction, and some noise: photographs are neither flat nor random. */
function picture(number: number): Uint8Array {
  const values = new Uint8Array(SIZE * SIZE * 3);
  const angle = number * 0.7;
  for (let i = 0; i < values.length; i++) {
    const [channel, column, row] = [i % 3, Math.floor(i / 3) % SIZE, Math.floor(i / (3 * SIZE))];
    const phase = 0.15 * (column * Math.cos(angle) + row * Math.sin(angle)) + channel + number;
    values[i] = 128 + 96 * Math.sin(phase) + 16 * (Math.random() - 0.5);
  }
  return values;
}

function encoded(format: Format): Promise<Buffer[]> {
  const raw = { width: SIZE, height: SIZE, channels: 3 } as const;
  return Promise.all(
    Array.from({ length: COUNT }, (_, number) => sharp(picture(number), { raw }).toFormat(format).toBuffer()),
  );
}

/** Writes the images, and returns where they are. */
async function writeImages(
  folder: string,
  files: readonly Buffer[],
  format: Format,
  container: Container,
): Promise<string> {
  const path = join(folder, `${format}-images${container === "zip" ? ".zip" : ""}`);
  const nameOf = (number: number): string => `${String(number).padStart(5, "0")}.${format}`;
  if (container === "zip") {
    const archive = new ZipFile();
    for (const [number, file] of files.entries()) archive.addBuffer(file, nameOf(number), { compress: false });
    archive.end();
    await pipeline(archive.outputStream, createWriteStream(path));
  } else {
    mkdirSync(path);
    for (const [number, file] of files.entries()) writeFileSync(join(path, nameOf(number)), file);
  }
  return path;
}

/** Seconds that `body` takes. */
async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return (performance.now() - start) / 1000;
}

/** What reads images that are not plain, with as many at a time as it has threads. */
async function sharpAlone(files: readonly Buffer[]): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let file = files[next++]; file; file = files[next++]) await sharp(file).raw().toBuffer();
  };
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, lane));
}

/** PIL reading the same files, if the peer has it. */
async function pil({ pytorch }: Bench, path: string): Promise<Opponent | undefined> {
  const decode = (): Promise<number> => (pytorch as NonNullable<typeof pytorch>).call("decode", { path });
  return pytorch && (await pytorch.call<boolean>("can_decode"))
    ? { what: "PIL, one process", cost: decode }
    : undefined;
}

export const decodingBenchmarks: readonly Benchmark[] = formats.flatMap((format) =>
  containers.map((container) => ({
    section: "Reading data",
    name: `decoding, ${container} of ${format.toUpperCase()}, ${SIZE}x${SIZE}`,
    isShort: container === "folder",
    async run(bench) {
      const files = await encoded(format);
      const path = await writeImages(bench.folder, files, format, container);
      const ours = (): Promise<number> => timed(async () => (await openDataset(path)).dispose());
      const without = { what: "sharp, from memory, all processors", cost: () => timed(() => sharpAlone(files)) };
      return compare(bench, { unit: imagesPerSecond(COUNT), ours, against: [await pil(bench, path), without] });
    },
  })),
);
