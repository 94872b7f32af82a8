/** The kind of a file, by its first bytes: the names of checkpoints are not reliable. */

import { closeSync, openSync, readSync } from "node:fs";

/** A kind of file. */
export interface FileKind {
  /** As a phrase that follows "it is". */
  readonly words: string;
  /** Whether importing it may find a network. */
  readonly isImportable: boolean;
}

const importable = (words: string): FileKind => ({ words, isImportable: true });
const unreadable = (words: string): FileKind => ({ words, isImportable: false });
/** A file in which another program may have stored a network. */
const foreign = (words: string): FileKind =>
  unreadable(`${words}, which is not read here; save the network's state_dict() with torch.save, or as safetensors`);

const compressed = unreadable("a compressed file, which must be unpacked first");
const image = unreadable("an image");

/** Signatures: an offset and the text found there, one character per byte. */
const signatures: readonly (readonly [at: number, text: string, kind: FileKind])[] = [
  [0, "\x80\x02\x8a\x0a", importable("a PyTorch file (before 1.6)")],
  [0, "\x89HDF\r\n\x1a\n", foreign("an HDF5 file, such as Keras writes")],
  [0, "\x93NUMPY", foreign("a NumPy array")],
  [0, "GGUF", foreign("a GGUF file")],
  [0, "\x1f\x8b", compressed],
  [0, "BZh", compressed],
  [0, "\xfd7zXZ", compressed],
  [0, "\x28\xb5\x2f\xfd", compressed],
  [257, "ustar", unreadable("a tar archive, which must be unpacked first")],
  [0, "\x89PNG", image],
  [0, "\xff\xd8\xff", image],
  [
    0,
    "version https://git-lfs",
    unreadable("a pointer to a file that Git LFS has not fetched: run git lfs pull in its repository"),
  ],
];

/** Archives by the name of their first file. */
const archives: readonly (readonly [name: RegExp, kind: FileKind])[] = [
  [/\.npy$/, foreign("an archive of NumPy arrays (npz)")],
  [/^(metadata|config)\.json$/, foreign("a Keras model")],
  [/^([^/]+\/)?(data\.pkl$|data\/|version$|byteorder$|\.|code\/|constants\.pkl$)/, importable("a PyTorch file")],
];

const texts: readonly (readonly [text: RegExp, kind: FileKind])[] = [
  [/^\s*<(!doctype|html|\?xml)/i, unreadable("a web page, probably saved instead of the file: download it again")],
  [/^\s*[[{]/, unreadable("JSON text")],
  [/^$/, unreadable("empty")],
];

/** A Protocol Buffers message that begins with a version and the name of the program. */
const isOnnx = (opening: string): boolean =>
  opening[0] === "\b" && opening.charCodeAt(1) < 32 && opening[2] === "\x12" && /^[ -~]/.test(opening.slice(4));

function kindOf(opening: string): FileKind | undefined {
  if (opening.startsWith("PK\x03\x04")) {
    const name = opening.slice(30, 30 + opening.charCodeAt(26) + 256 * opening.charCodeAt(27));
    const found = archives.find(([pattern]) => pattern.test(name));
    return found?.[1] ?? unreadable("a zip archive without a PyTorch network");
  }
  const signature = signatures.find(([at, text]) => opening.startsWith(text, at));
  if (signature) return signature[2];
  if (opening[0] === "\x80" && opening.charCodeAt(1) <= 5) return importable("a pickle");
  if (opening[8] === "{") return importable("a safetensors file");
  if (isOnnx(opening)) return foreign("an ONNX model");
  return texts.find(([pattern]) => pattern.test(opening))?.[1];
}

const OPENING = 1024;

/** @returns undefined for an unknown kind */
export function kindOfFile(path: string): FileKind | undefined {
  const descriptor = openSync(path, "r");
  try {
    const bytes = new Uint8Array(OPENING);
    return kindOf(Buffer.from(bytes.subarray(0, readSync(descriptor, bytes))).toString("latin1"));
  } finally {
    closeSync(descriptor);
  }
}
