/** What is unusual about the images of a set that is being read. */

import type { DecodedImage, ImageFile } from "../codecs/decode.js";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { conversionCommand, suggestedSide } from "./suggested-conversion.js";

const sizeOf = ({ width, height }: ImageFile): string => `${width}x${height}`;

/** Collects notes on images, by number. */
export class Findings {
  readonly #location: string;
  readonly #paths: readonly string[];
  readonly #unusable = new Map<number, InputError>();
  readonly #otherSize = new Map<number, string>();
  #leastSide = Number.POSITIVE_INFINITY;
  readonly #turned: number[] = [];
  readonly #odd: number[] = [];

  constructor(location: string, paths: readonly string[]) {
    this.#location = location;
    this.#paths = paths;
  }

  unusable(index: number, error: InputError): void {
    this.#unusable.set(index, error);
  }

  otherSize(index: number, file: ImageFile): void {
    this.#otherSize.set(index, `${file.name} has ${sizeOf(file)}`);
    this.#leastSide = Math.min(this.#leastSide, file.width, file.height);
  }

  read(index: number, { orientation }: ImageFile, { isOdd }: DecodedImage): void {
    if (orientation !== 1) this.#turned.push(index);
    if (isOdd) this.#odd.push(index);
  }

  /** In the order of the images, not of completion. */
  #names(indices: Iterable<number>): string {
    return abbreviated([...indices].sort((a, b) => a - b).map((index) => this.#paths[index] as string));
  }

  #some(count: number): string {
    return `${count} of ${this.#paths.length} images`;
  }

  /** @throws InputError that lists all unusable images */
  check(first: ImageFile | undefined): void {
    const complaints: string[] = [];
    const [failed, sizes] = [this.#unusable, this.#otherSize];
    const lowest = failed.get(Math.min(...failed.keys()));
    if (failed.size === 1) complaints.push(lowest?.message ?? "");
    else if (failed.size > 1) {
      complaints.push(
        `${this.#some(failed.size)} in ${this.#location} cannot be used: ${this.#names(failed.keys())}. ${lowest?.message}`,
      );
    }
    if (sizes.size > 0) {
      const leastSide = Math.min(this.#leastSide, first?.width ?? 1, first?.height ?? 1);
      const others =
        sizes.size === 1 ? "" : ` (${this.#some(sizes.size)} have another size: ${this.#names(sizes.keys())})`;
      complaints.push(
        `all images must have one size: ${first?.name} has ${first && sizeOf(first)}, ${sizes.get(Math.min(...sizes.keys()))}${others}; make a data set of one size: ${conversionCommand(this.#location, suggestedSide(leastSide))}`,
      );
    }
    if (complaints.length > 0) throw new InputError(complaints.join(". Besides, "), { cause: lowest });
  }

  /** Notes for the user on images that were read successfully. */
  get notes(): string[] {
    const notes: string[] = [];
    if (this.#turned.length > 0) {
      notes.push(
        `${this.#some(this.#turned.length)} were turned or mirrored by their EXIF orientation: ${this.#names(this.#turned)}`,
      );
    }
    if (this.#odd.length > 0) {
      notes.push(
        `${this.#some(this.#odd.length)} have intact pixels, which were read, but damaged or stray bytes elsewhere: ${this.#names(this.#odd)}`,
      );
    }
    return notes;
  }
}
