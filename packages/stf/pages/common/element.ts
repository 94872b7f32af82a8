/** Making elements of a page. Text is always text, whatever is in it. */

type Child = Node | string;

/** An element with attributes and children; attributes that are undefined are left out. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | undefined>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The element of the page with this id; undefined if the page lacks that part. */
export const byId = (id: string): HTMLElement | undefined => document.getElementById(id) ?? undefined;

/** "V_DSM" as V with an index, "V_STF(16)" as V with an index and an argument; other names as they are. */
export function symbol(name: string): readonly Child[] {
  const [, letter, index, rest] = /^(V)_(DSM|STF)(\(\S+\))?$/.exec(name) ?? [];
  return letter && index ? [element("i", {}, letter), element("sub", {}, index), rest ?? ""] : [name];
}
