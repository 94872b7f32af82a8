/** TensorBoard's event files in a run folder. Each process of a run writes one; together they hold one history. */

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appendBytes } from "../common/backlog.js";
import { imagesOfEvent, versionEvent } from "./events.js";
import { framed, recordsIn } from "./tfrecord.js";

const PREFIX = "events.out.tfevents.";

const eventFilesIn = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith(PREFIX));

/** The name of a new event file, after those of the folder. */
export function newEventFile(folder: string, seconds: number): string {
  const stem = `${PREFIX}${String(Math.floor(seconds)).padStart(10, "0")}.stf.${process.pid}`;
  for (let number = 0; ; number++) {
    const name = `${stem}.${number}`;
    if (!existsSync(join(folder, name))) return name;
  }
}

/** Appends events to a file, all or none; to a new file after the one that states its version. */
export function appendEvents(path: string, events: readonly Uint8Array[], seconds: number): void {
  const first = existsSync(path) ? [] : [versionEvent(seconds)];
  appendBytes(path, Buffer.concat([...first, ...events].map(framed)));
}

const eventsOf = (folder: string, name: string): Uint8Array[] => recordsIn(readFileSync(join(folder, name)));

/** The images at which values were last added to the event files of a folder; undefined if there are none. */
export function latestEvent(folder: string): number | undefined {
  const images = eventFilesIn(folder).flatMap((name) => eventsOf(folder, name).map(imagesOfEvent));
  return images.reduce((latest, own) => (own === undefined || own < (latest ?? 0) ? latest : own), undefined);
}

/** The events of a file after an image count, and the rest. */
export interface DividedEvents {
  readonly name: string;
  /** The file without them; undefined if it would hold no values. */
  readonly kept: Uint8Array | undefined;
  readonly later: Uint8Array;
}

const joined = (records: readonly Uint8Array[]): Uint8Array => Buffer.concat(records.map(framed));

/** Those event files of a folder that hold events after an image count, divided. */
export function laterEvents(folder: string, images: number): DividedEvents[] {
  return eventFilesIn(folder).flatMap((name) => {
    const [version = new Uint8Array(), ...events] = eventsOf(folder, name);
    const isLater = (event: Uint8Array): boolean => (imagesOfEvent(event) ?? 0) > images;
    const later = events.filter(isLater);
    if (later.length === 0) return [];
    const kept = events.filter((event) => !isLater(event));
    const isWorthIt = kept.some((event) => imagesOfEvent(event) !== undefined);
    return [{ name, kept: isWorthIt ? joined([version, ...kept]) : undefined, later: joined([version, ...later]) }];
  });
}

/**
 * Moves events to another folder, under a name in which TensorBoard, which looks into all folders, does not see another run. Those that
 * stay are in a file that takes the place of the old one.
 */
export function moveEvents(folder: string, aside: string, { name, kept, later }: DividedEvents): void {
  const path = join(folder, name);
  const moved = join(aside, name.replace("tfevents", "abandoned"));
  if (kept === undefined) {
    renameSync(path, moved);
    return;
  }
  writeFileSync(moved, later);
  const temporary = join(folder, `.${name}.${process.pid}.partial`);
  writeFileSync(temporary, kept);
  renameSync(temporary, path);
}
