/** Switches above charts. */

import { element } from "./element.js";
import type { Shared } from "./shared.js";

let groups = 0;

/** One choice among a few: a row of buttons, which are radio buttons to the keyboard and to screen readers. */
export function choice<T extends string>(
  label: string,
  choices: readonly { readonly value: T; readonly label: string; readonly about?: string }[],
  chosen: Shared<T>,
): HTMLElement {
  groups += 1;
  const group = `choice-${groups}`;
  const buttons = choices.map(({ value, label: text, about }) => {
    const input = element("input", { type: "radio", name: group, value });
    input.checked = value === chosen.value;
    input.addEventListener("change", () => {
      chosen.value = value;
    });
    return element("label", { title: about }, input, element("span", {}, text));
  });
  return element("fieldset", { class: "choice" }, element("legend", {}, label), element("div", {}, ...buttons));
}

/** Something that is shown or not. */
export function checkbox(label: string, checked: Shared<boolean>): HTMLElement {
  const input = element("input", { type: "checkbox" });
  input.checked = checked.value;
  input.addEventListener("change", () => {
    checked.value = input.checked;
  });
  return element("label", { class: "checkbox" }, input, element("span", {}, label));
}
