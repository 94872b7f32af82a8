/**
 * Files of `torch.save`: the zip container, the older one of several pickles followed by the storages, and plain pickles
 * with tensors inside. Nothing in them is executed; unknown objects become inert records.
 */

import { constants } from "node:buffer";
import { elementSize } from "../dtype.js";
import { FileFormatError } from "../errors.js";
import { type FileBytes, withFile } from "./file-bytes.js";
import { numpyNames } from "./numpy.js";
import {
  InertObject,
  type PickleCallable,
  type PickleObject,
  PickleStream,
  type PickleValue,
  pickleText,
  readPickle,
} from "./pickle.js";
import { StoredStorage } from "./stored-tensor.js";
import { StoredZip } from "./stored-zip.js";
import { storageId, torchNames } from "./torch-names.js";

/** What a file holds. Its tensors can be read while the file is open. */
export interface TorchContent {
  /** How it was written: by torch.save today, by torch.save before 1.6, as a plain pickle, or by torch.jit.save. */
  readonly format: "zip" | "legacy" | "pickle" | "program";
  /** What was saved. */
  readonly value: PickleValue;
  /** Bytes of the file. */
  readonly size: number;
}

type Names = ReadonlyMap<string, PickleCallable | PickleObject>;

const plainNames: Names = new Map([...torchNames, ...numpyNames]);
const keepUnknown = true;

/** Two numbers at the start of PyTorch's older files. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** Represents the tensors of a storage whose element type is not supported. */
const unreadable = (): PickleValue => new InertObject("torch.storage", []);

function readZip(file: FileBytes, acceptPrograms: boolean): { format: "zip" | "program"; value: PickleValue } {
  const zip = new StoredZip(file);
  const pickleName = zip.names.find((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (pickleName === undefined) {
    throw new FileFormatError("it is a zip archive without data.pkl, so it is not a checkpoint of PyTorch");
  }
  const root = pickleName.slice(0, -"data.pkl".length);
  const isProgram = zip.sizeOf(`${root}constants.pkl`) !== undefined;
  if (isProgram && !acceptPrograms) {
    throw new FileFormatError("it is a TorchScript program; save the network's state_dict() with torch.save instead");
  }
  const byteOrder = `${root}byteorder`;
  if (zip.sizeOf(byteOrder) !== undefined && pickleText(zip.readAll(byteOrder)).trim() !== "little") {
    throw new FileFormatError("its numbers have the byte order of another kind of machine (big-endian)");
  }
  const storages = new Map<string, PickleValue>();
  const value = readPickle(zip.readAll(pickleName), {
    names: plainNames,
    keepUnknown,
    persistent(id) {
      const { dtype, key, length } = storageId(id);
      const known = storages.get(key);
      if (known !== undefined) return known;
      const name = `${root}data/${key}`;
      const storage = dtype
        ? new StoredStorage(dtype, length, (begin, count) => zip.read(name, begin, count))
        : unreadable();
      if (dtype && length * elementSize(dtype) !== zip.sizeOf(name)) {
        throw new FileFormatError(
          `storage ${JSON.stringify(key)} should have ${length * elementSize(dtype)} bytes, the archive has ${zip.sizeOf(name) ?? "none"}`,
        );
      }
      storages.set(key, storage);
      return storage;
    },
  });
  return { format: isProgram ? "program" : "zip", value };
}

/** The part of a storage that an id in files from before PyTorch 0.4 refers to: key, first element, number of elements. */
function partOf(whole: StoredStorage, view: PickleValue | undefined): StoredStorage {
  if (!Array.isArray(view)) return whole;
  const [, first, length] = view;
  if (typeof first !== "number" || typeof length !== "number" || !(first >= 0) || first + length > whole.length) {
    throw new FileFormatError("a storage in it is part of another one that is too short");
  }
  const offset = first * elementSize(whole.dtype);
  return new StoredStorage(whole.dtype, length, (begin, count) => {
    if (!whole.read) throw new FileFormatError("it lacks the elements of a tensor");
    return whole.read(offset + begin, count);
  });
}

/** The value of a file in the older format, whose first pickle has been read. */
function readLegacy(bytes: Uint8Array, names: Names): PickleValue {
  const storages = new Map<string, { storage: StoredStorage | undefined; length: number }>();
  const stream = new PickleStream(bytes, {
    names,
    keepUnknown,
    persistent(id) {
      // The source text of a class is saved with it, and is not needed here.
      if (Array.isArray(id) && id[0] !== undefined && pickleText(id[0]) === "module") return id[1] ?? null;
      const { dtype, key, length } = storageId(id);
      let known = storages.get(key);
      if (!known) {
        known = { storage: dtype && new StoredStorage(dtype, length), length };
        storages.set(key, known);
      }
      return known.storage ? partOf(known.storage, (id as PickleValue[])[5]) : unreadable();
    },
  });
  stream.next();
  const protocol = stream.next();
  if (protocol !== LEGACY_PROTOCOL) {
    throw new FileFormatError(
      `its format has the number ${typeof protocol === "number" ? protocol : "unknown"}, known is ${LEGACY_PROTOCOL}`,
    );
  }
  const system = stream.next();
  if (system instanceof Map && system.get("little_endian") === false) {
    throw new FileFormatError("its numbers have the byte order of another kind of machine (big-endian)");
  }
  const value = stream.next();
  const keys = stream.next();
  if (!Array.isArray(keys)) throw new FileFormatError("it has no list of its storages");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = stream.position;
  for (const key of keys.map(pickleText)) {
    const known = storages.get(key);
    if (!known?.storage)
      throw new FileFormatError(`storage ${JSON.stringify(key)} has an element type that is not supported`);
    if (position + 8 > bytes.length) throw new FileFormatError("it ends before its storages; it is truncated");
    const length = Number(view.getBigUint64(position, true));
    const start = position + 8;
    const byteLength = length * elementSize(known.storage.dtype);
    if (length !== known.length || start + byteLength > bytes.length) {
      throw new FileFormatError(
        `storage ${JSON.stringify(key)} should have ${known.length} elements, found ${length} in ${bytes.length - start} bytes; it is damaged or truncated`,
      );
    }
    known.storage.read = (begin, count) => bytes.subarray(start + begin, start + begin + count);
    position = start + byteLength;
  }
  return value;
}

/** A storage inside a plain pickle, as a small file of the older format. It holds no further ones. */
const inlineStorage: PickleCallable = {
  call([bytes]) {
    if (!(bytes instanceof Uint8Array)) throw new FileFormatError("the pickle has a storage without bytes");
    return readLegacy(bytes, plainNames);
  },
};

const namesWithInline: Names = new Map([...plainNames, ["torch.storage._load_from_bytes", inlineStorage]]);

function isLegacy(bytes: Uint8Array): boolean {
  // The magic number's pickle: protocol 2, then an integer of 10 bytes.
  const opening = Buffer.from(bytes.subarray(0, 14));
  const magic = Buffer.from(LEGACY_MAGIC.toString(16), "hex").reverse();
  return opening.equals(Buffer.concat([Buffer.from([0x80, 0x02, 0x8a, magic.length]), magic]));
}

const startsWith = (bytes: Uint8Array, text: string): boolean =>
  Buffer.from(bytes.subarray(0, text.length)).toString("latin1") === text;

/** @throws FileFormatError for files that are often taken for a checkpoint, or damaged at the very beginning */
function checkOpening(bytes: Uint8Array): void {
  const text = Buffer.from(bytes.subarray(0, 64)).toString("latin1");
  if (bytes.length === 0) throw new FileFormatError("it is empty");
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    throw new FileFormatError("it is a web page, probably one that was saved in place of the file; download it again");
  }
  if (text.startsWith("version https://git-lfs")) {
    throw new FileFormatError("it is a pointer to a file that Git LFS has not fetched; run git lfs pull");
  }
}

function readWhole(file: FileBytes): { format: "legacy" | "pickle"; value: PickleValue } {
  if (file.size > constants.MAX_LENGTH) {
    throw new FileFormatError(
      `it has ${file.size} bytes, and this Node reads at most ${constants.MAX_LENGTH} of a file that is not a zip container; save it again with PyTorch 1.6 or later`,
    );
  }
  const bytes = file.read(0, file.size);
  checkOpening(bytes);
  if (isLegacy(bytes)) return { format: "legacy", value: readLegacy(bytes, plainNames) };
  try {
    return { format: "pickle", value: readPickle(bytes, { names: namesWithInline, keepUnknown }) };
  } catch (error) {
    const beginsLikeOne = bytes[0] === 0x80;
    if (beginsLikeOne || !(error instanceof FileFormatError)) throw error;
    throw new FileFormatError(`it is not a safetensors file, a zip archive or a pickle (${error.message})`, {
      cause: error,
    });
  }
}

/** Options of {@link withTorchFile}. */
export interface TorchFileOptions {
  /**
   * Whether a TorchScript program is accepted. It is not run: its modules become records whose states are dictionaries
   * of their attributes, among them tensors and further modules.
   */
  readonly acceptPrograms?: boolean;
}

/**
 * Opens a file of `torch.save`, `torch.jit.save` or `pickle.dump` while `use` runs.
 *
 * @throws FileFormatError, naming the file, when it is truncated, damaged, of another kind, or made to do harm
 */
export function withTorchFile<T>(
  path: string,
  use: (content: TorchContent) => T,
  { acceptPrograms = false }: TorchFileOptions = {},
): T {
  return withFile(path, (file) => {
    const isZip = file.size >= 4 && startsWith(file.read(0, 4), "PK\x03\x04");
    return use({ ...(isZip ? readZip(file, acceptPrograms) : readWhole(file)), size: file.size });
  });
}
