/** Failures of the engine: what must hold, what was found, what to try. */

/** A failure inside libtorch or at its boundary. The message names the operator and the shapes of its arguments. */
export class TorchError extends Error {
  override readonly name = "TorchError";
}

/** Messages of libtorch, its libraries and JavaScript when memory runs out, on the CPU and on GPUs. */
const OUT_OF_MEMORY =
  /out of memory|can't allocate memory|bad_alloc|not enough memory|_ALLOC_FAILED|buffer allocation failed/i;

/** Whether something failed for lack of memory, of the CPU or of a GPU. */
export function isOutOfMemory(error: unknown): boolean {
  const isOfEngine = error instanceof TorchError || error instanceof RangeError;
  return isOfEngine && OUT_OF_MEMORY.test(error.message);
}

/** A tensor whose shape or dtype is not what a function requires. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** A file that cannot be read as what it should be: damaged, truncated, or of another kind. */
export class FileFormatError extends Error {
  override readonly name = "FileFormatError";
}

/** The native addon or libtorch cannot be loaded. `attempts` lists what was tried, with the loader's own words. */
export class EngineUnavailableError extends Error {
  override readonly name = "EngineUnavailableError";
  /** One line for each file that was tried: its path, and why it failed. */
  readonly attempts: readonly string[];

  /** @param attempts - one line for each file that was tried */
  constructor(message: string, attempts: readonly string[], options?: ErrorOptions) {
    super(message, options);
    this.attempts = attempts;
  }
}
