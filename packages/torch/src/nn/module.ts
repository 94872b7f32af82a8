/** Modules name and own parameters. A module's state dict has PyTorch's keys, so that weights can be exchanged both ways. */

import { noGrad } from "../autograd.js";
import type { Device } from "../dtype.js";
import { ShapeError } from "../errors.js";
import { keep, scope } from "../scope.js";
import { formatShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** Tensors by their name in the state dict, in registration order. */
export type StateDict = ReadonlyMap<string, Tensor>;

/**
 * The base class of networks and layers. A subclass registers its tensors and parts in its constructor, under the names of the state
 * dict, and defines `forward`. Registered tensors leave the scope they were created in; the module owns them.
 */
export abstract class Module {
  /** Whether layers that behave differently in training, such as dropout, are in training mode. */
  training = true;
  readonly #parameters = new Map<string, Tensor>();
  readonly #buffers = new Map<string, Tensor>();
  readonly #modules = new Map<string, Module>();

  /**
   * Registers a trainable tensor and returns it.
   *
   * @throws TypeError when the name is empty or taken.
   */
  protected registerParameter(name: string, value: Tensor): Tensor {
    this.checkFree(name);
    this.#parameters.set(name, keep(value).requiresGrad_());
    return value;
  }

  /**
   * Registers a tensor that belongs to the state but is not trained, and returns it.
   *
   * @throws TypeError when the name is empty or taken.
   */
  protected registerBuffer(name: string, value: Tensor): Tensor {
    this.checkFree(name);
    this.#buffers.set(name, keep(value));
    return value;
  }

  /**
   * Registers a part and returns it; its keys are prefixed with `name` and a dot.
   *
   * @throws TypeError when the name is empty or taken.
   */
  protected registerModule<M extends Module>(name: string, module: M): M {
    this.checkFree(name);
    this.#modules.set(name, module);
    return module;
  }

  private checkFree(name: string): void {
    if (name === "" || this.#parameters.has(name) || this.#buffers.has(name) || this.#modules.has(name)) {
      throw new TypeError(`"${name}" is registered already, or empty`);
    }
  }

  /** The direct parts by name. */
  namedChildren(): ReadonlyMap<string, Module> {
    return this.#modules;
  }

  /** All parameters with their full names, in registration order. */
  *namedParameters(prefix = ""): Generator<[name: string, parameter: Tensor]> {
    for (const [name, parameter] of this.#parameters) yield [prefix + name, parameter];
    for (const [name, module] of this.#modules) yield* module.namedParameters(`${prefix}${name}.`);
  }

  /** All parameters, including those of parts, in registration order. */
  parameters(): Tensor[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter);
  }

  /** Where the parameters are; "cpu" for a module without any. */
  get device(): Device {
    for (const [, parameter] of this.namedParameters()) return parameter.device;
    return "cpu";
  }

  /** All buffers with their full names. */
  *namedBuffers(prefix = ""): Generator<[name: string, buffer: Tensor]> {
    for (const [name, buffer] of this.#buffers) yield [prefix + name, buffer];
    for (const [name, module] of this.#modules) yield* module.namedBuffers(`${prefix}${name}.`);
  }

  /** Number of trainable elements. */
  get parameterCount(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.numel, 0);
  }

  /** Parameters and buffers by name, in PyTorch's order. The tensors are the module's own, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.#state(""));
  }

  *#state(prefix: string): Generator<[string, Tensor]> {
    for (const [name, tensor] of this.#parameters) yield [prefix + name, tensor];
    for (const [name, tensor] of this.#buffers) yield [prefix + name, tensor];
    for (const [name, module] of this.#modules) yield* module.#state(`${prefix}${name}.`);
  }

  /**
   * Copies tensors into the parameters and buffers of the same names.
   *
   * @param options.strict - whether missing and unknown names are errors (the default)
   * @throws ShapeError naming the keys that are missing, unknown or of another shape; nothing is copied then.
   */
  loadStateDict(state: StateDict, { strict = true }: { strict?: boolean } = {}): void {
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unknown = [...state.keys()].filter((name) => !own.has(name));
    const differing: string[] = [];
    for (const [name, target] of own) {
      const source = state.get(name);
      if (source && formatShape(source.shape) !== formatShape(target.shape)) {
        differing.push(`${name} (${formatShape(target.shape)} here, ${formatShape(source.shape)} given)`);
      }
    }
    const complaints = [
      ...(strict && missing.length > 0 ? [`missing: ${abbreviate(missing)}`] : []),
      ...(strict && unknown.length > 0 ? [`unknown: ${abbreviate(unknown)}`] : []),
      ...(differing.length > 0 ? [`of another shape: ${abbreviate(differing)}`] : []),
    ];
    if (complaints.length > 0) throw new ShapeError(`the weights do not fit this network; ${complaints.join("; ")}`);
    noGrad(() => {
      for (const [name, target] of own) {
        const source = state.get(name);
        if (source) target.copy_(source);
      }
    });
  }

  /** Switches training mode on or off here and in every part. Returns this module. */
  train(mode = true): this {
    this.training = mode;
    for (const module of this.#modules.values()) module.train(mode);
    return this;
  }

  /** Switches to evaluation mode. Returns this module. */
  eval(): this {
    return this.train(false);
  }

  /** Moves parameters and buffers to a device. Returns this module. */
  to(device: Device): this {
    noGrad(() => {
      for (const tensor of this.stateDict().values()) {
        scope(() => tensor.setData(tensor.detach().to({ device })));
      }
    });
    return this;
  }

  /** Frees all parameters and buffers. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
  }
}

function abbreviate(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
