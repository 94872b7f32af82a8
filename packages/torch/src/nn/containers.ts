import { Module } from "./module.js";

/** Modules by name, in the order they were added; a name becomes part of the keys of the state dict. */
export class ModuleDict extends Module {
  /**
   * Adds a part and returns it.
   *
   * @throws TypeError when the name is empty or taken.
   */
  add<M extends Module>(name: string, module: M): M {
    return this.registerModule(name, module);
  }
}
