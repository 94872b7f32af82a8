/** TensorBoard's event files: bytes against its own writer, and what a run's files hold after interruptions and trouble. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { writePng } from "../src/codecs/png.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext } from "../src/jobs/context.js";
import { train } from "../src/jobs/train.js";
import { imagesOfEvent, imageValue, scalarValue, startEvent, summaryEvent, textValue } from "../src/run/events.js";
import { crc32c, framed, recordsIn } from "../src/run/tfrecord.js";
import { listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-board-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("CRC-32C", () => {
  test.each([
    // RFC 3720, appendix B.4; the last is the check value of the catalogue of parametrised CRC algorithms.
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ["31 to 0", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ["digits", new TextEncoder().encode("123456789"), 0xe3069283],
    ["nothing", new Uint8Array(), 0],
  ])("of %s", (_, bytes, wanted) => {
    expect(crc32c(bytes)).toBe(wanted);
  });
});

describe("a file of TensorBoard's own writer", () => {
  const path = fileURLToPath(new URL("./fixtures/events/events.tfevents", import.meta.url));
  const bytes = readFileSync(path);
  const [, ...records] = recordsIn(bytes);

  test("has the events that are written here, to the last byte", () => {
    const picture = Uint8Array.from({ length: 512 }, (_, i) => i);
    expect(records.map((record) => Buffer.from(record))).toEqual([
      startEvent({ seconds: 1700000000.25, images: 80 }),
      summaryEvent({ seconds: 1700000001.5, images: 80 }, [
        scalarValue("Loss/loss", 0.75),
        scalarValue("Loss/excess/0.5-2", -1.5e-7),
        scalarValue("Timing/images_per_sec", Number.POSITIVE_INFINITY),
      ]),
      summaryEvent({ seconds: 1700000002.5, images: 12_288 }, [
        imageValue("Samples/averaged", { width: 20, height: 300, channels: 3 }, picture),
      ]),
      summaryEvent({ seconds: 1700000003.5, images: 200_000_000_000 }, [textValue("options", "| é | 1 |")]),
    ]);
    expect(Buffer.concat(recordsIn(bytes).map(framed))).toEqual(bytes);
  });

  test("tells when values were added", () => {
    expect(recordsIn(bytes).map(imagesOfEvent)).toEqual([undefined, undefined, 80, 12_288, 200_000_000_000]);
  });

  test("tells that whatever the values are", () => {
    // Bytes that would be a step of 5, were they not those of a number.
    const number = new DataView(Uint8Array.of(0x10, 5, 0x10, 5).buffer).getFloat32(0, true);
    for (const count of [1, 5, 20, 2000]) {
      const values = Array.from({ length: count }, () => scalarValue("a", number));
      expect(imagesOfEvent(summaryEvent({ seconds: 1, images: 300 }, values)), `${count} values`).toBe(300);
    }
  });

  test("is read up to where it is cut off or damaged", () => {
    for (const length of [1, 5, 16, 20]) expect(recordsIn(bytes.subarray(0, -length))).toHaveLength(4);
    for (const at of [0, 9, 12, 60]) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] as number) ^ 1;
      expect(recordsIn(damaged)).toEqual([]);
    }
  });
});

/** One value of a file, as far as these tests look: its tag, and a number if it is one. */
interface Value {
  readonly images: number;
  readonly tag: string;
  readonly scalar: number | undefined;
}

/** The fields of a message; this reader shares nothing with the writer. */
function fieldsOf(bytes: Uint8Array): (readonly [number, Uint8Array | number])[] {
  const fields: (readonly [number, Uint8Array | number])[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const wire = key % 8;
    const length = wire === 0 ? 0 : wire === 1 ? 8 : wire === 5 ? 4 : varint();
    const value = wire === 0 ? varint() : wire === 5 ? view.getFloat32(at, true) : bytes.subarray(at, at + length);
    at += length;
    fields.push([Math.floor(key / 8), value]);
  }
  return fields;
}

const eventFiles = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => name.includes("tfevents"))
    .sort();

/** All values in a run's event files, in order. */
function valuesIn(path: string): Value[] {
  return eventFiles(path).flatMap((name) =>
    recordsIn(readFileSync(join(path, name))).flatMap((record) => {
      const event = new Map(fieldsOf(record));
      const summary = event.get(5);
      if (summary === undefined) return [];
      return fieldsOf(summary as Uint8Array).map(([, value]) => {
        const own = new Map(fieldsOf(value as Uint8Array));
        const tag = new TextDecoder().decode(own.get(1) as Uint8Array);
        return { images: Number(event.get(2)), tag, scalar: own.get(2) as number | undefined };
      });
    }),
  );
}

const imagesOf = (path: string, wanted: string): number[] =>
  valuesIn(path).flatMap(({ images, tag }) => (tag === wanted ? [images] : []));

const data = join(folder, "images");
mkdirSync(data);
for (let i = 0; i < 8; i++) {
  const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
  writePng(join(data, `${i}.png`), pixels, { channels: 1, height: 8, width: 8 });
}

const small = (name: string): TrainRequest => ({
  ...{ data, outdir: folder, name, arch: "mlp", cbase: 8, numBlocks: 1, stf: false, augment: 0, batch: 8 },
  ...{ lrRampup: 0, duration: 8e-5, tick: 0.008, snap: 1, dump: 1, seed: 3, tensorboard: true },
});

const lossesIn = (run: string): [number, number][] =>
  readFileSync(join(run, "stats.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .map((line) => [Math.round(1000 * line["Progress/kimg"].mean), Math.fround(line["Loss/loss"].mean)]);

const ticks = (from: number, to: number): number[] =>
  Array.from({ length: (to - from) / 8 + 1 }, (_, i) => from + 8 * i);

describe("a training", () => {
  test("writes its statistics, samples and options", async () => {
    const { folder: run } = await train(small("whole"));
    const losses = valuesIn(run).flatMap(({ tag, images, scalar }) => (tag === "Loss/loss" ? [[images, scalar]] : []));
    expect(losses).toEqual(lossesIn(run));
    expect(losses).toHaveLength(10);
    expect(imagesOf(run, "options")).toEqual([0]);
    expect(imagesOf(run, "Samples/averaged").at(-1)).toBe(80);
    const without = await train({ ...small("without"), tensorboard: false });
    expect(eventFiles(without.folder)).toEqual([]);
  });

  test("resumed from an earlier state has one history, and the abandoned one where TensorBoard does not look", async () => {
    const { folder: run } = await train(small("resumed"));
    await train({ resume: join(run, "training-state-000000040.safetensors"), duration: 6.4e-5 });
    expect(eventFiles(run)).toHaveLength(2);
    expect(imagesOf(run, "Loss/loss")).toEqual(ticks(8, 64));
    expect(valuesIn(run).flatMap(({ tag, images, scalar }) => (tag === "Loss/loss" ? [[images, scalar]] : []))).toEqual(
      lossesIn(run),
    );
    expect(imagesOf(run, "options")).toEqual([0, 40]);
    expect(imagesOf(run, "Samples/averaged").at(-1)).toBe(64);
    const aside = join(run, "abandoned-after-40");
    expect(eventFiles(aside)).toEqual([]);
    const moved = readdirSync(aside).filter((name) => name.startsWith("events.out.abandoned."));
    expect(moved).toHaveLength(1);
    const later = recordsIn(readFileSync(join(aside, moved[0]!))).map(imagesOfEvent);
    expect([...new Set(later)]).toEqual([undefined, ...ticks(48, 80)]);
    // From before the second process: nothing is left of its file, and the first one loses some more.
    await train({ resume: join(run, "training-state-000000024.safetensors"), duration: 3.2e-5 });
    expect(eventFiles(run)).toHaveLength(2);
    expect(imagesOf(run, "Loss/loss")).toEqual(ticks(8, 32));
    expect(imagesOf(run, "options")).toEqual([0, 24]);
  });

  test("that gets a board later, or without one for a while, shows all of it", async () => {
    const { folder: run } = await train({ ...small("later"), tensorboard: false, duration: 2.4e-5 });
    await train({ resume: run, duration: 4e-5, tensorboard: true });
    await train({ resume: run, duration: 5.6e-5, tensorboard: false });
    await train({ resume: run, duration: 7.2e-5, tensorboard: true });
    expect(imagesOf(run, "Loss/loss")).toEqual(ticks(8, 72));
    expect(eventFiles(run)).toHaveLength(2);
    expect(imagesOf(run, "Samples/averaged")).toEqual(expect.arrayContaining([24, 40, 56, 72]));
  });

  test("that goes back to an earlier state, because it diverges, begins another file", async () => {
    const { folder: run } = await train({ ...small("back"), duration: 4e-5 });
    await train({ resume: run, lr: 8, duration: 1.2e-4 });
    const returns = readdirSync(run).filter((name) => name.startsWith("abandoned-after-40"));
    expect(returns.length).toBeGreaterThan(0);
    // One of each process and of each return, except for those of which nothing was left.
    expect(eventFiles(run).length).toBeGreaterThan(1);
    expect(imagesOf(run, "Progress/tick")).toEqual(ticks(8, 120));
  });

  test("that was cut off while it wrote goes on in another file", async () => {
    const { folder: run } = await train({ ...small("cut"), duration: 4e-5 });
    const path = join(run, eventFiles(run)[0]!);
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from([7, 0, 0])]));
    await train({ resume: run, duration: 6.4e-5 });
    expect(imagesOf(run, "Loss/loss")).toEqual(ticks(8, 64));
  });

  test("whose folder cannot be written, or is deleted, goes on and misses nothing it can still know", async () => {
    for (const what of ["blocked", "deleted"]) {
      const run = join(folder, what);
      let count = 0;
      const { lines, reporter } = listener();
      const at: Readonly<Record<number, () => void>> = {
        3: () => {
          if (what === "deleted") return rmSync(run, { recursive: true });
          renameSync(run, `${run}-away`);
          writeFileSync(run, "in the way");
        },
        6: () => {
          if (what === "deleted") return;
          rmSync(run);
          renameSync(`${run}-away`, run);
        },
      };
      const warnings: string[] = [];
      const result = await train(
        small(what),
        jobContext({
          reporter: {
            ...reporter,
            warn: (line) => void warnings.push(line),
            print: (line) => {
              lines.push(line);
              if (/ kimg /.test(line)) at[++count]?.();
            },
          },
        }),
      );
      expect(result).toMatchObject({ reason: "finished", images: 80 });
      expect(result.problem).toBeUndefined();
      expect(imagesOf(run, "Loss/loss")).toEqual(what === "deleted" ? ticks(32, 80) : ticks(8, 80));
      expect(warnings.filter((line) => line.includes("tfevents"))).toHaveLength(what === "deleted" ? 0 : 1);
    }
  });
});
