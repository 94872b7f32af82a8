/** A value that several parts of a page show and change, such as the noise level under the pointer. */
export class Shared<T> {
  readonly #listeners = new Set<(value: T) => void>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** Changes the value, and tells everyone who listens if it is another one. */
  set value(value: T) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of this.#listeners) listener(value);
  }

  /** Calls a function after every change. */
  onChange(listener: (value: T) => void): void {
    this.#listeners.add(listener);
  }
}
