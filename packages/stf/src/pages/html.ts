/** Text as HTML: whatever is put into a template is escaped, unless it is HTML already. */

/** A piece of HTML. */
export class Html {
  constructor(readonly text: string) {}
}

/** What a template takes; nothing is written for null, undefined and false. */
export type Content = string | number | Html | null | undefined | false | readonly Content[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escapeText = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] as string);

function write(content: Content): string {
  if (content === null || content === undefined || content === false) return "";
  if (content instanceof Html) return content.text;
  if (typeof content === "string" || typeof content === "number") return escapeText(String(content));
  return content.map(write).join("");
}

/** A template of HTML, whose values become text in it. */
export function html(pieces: TemplateStringsArray, ...contents: readonly Content[]): Html {
  return new Html(pieces.map((piece, k) => piece + write(contents[k])).join(""));
}

/** Data for the scripts of a page; nothing in it can end the element. */
export function dataElement(id: string, data: unknown): Html {
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return new Html(`<script type="application/json" id="${id}">${json}</script>`);
}

/**
 * Code that runs in a page. "</script" would end the element, and after "<!--" an end may be overlooked; both occur in strings only,
 * where a backslash changes nothing.
 */
export function scriptElement(code: string): Html {
  const safe = code.replace(/<\/(script)/gi, "<\\/$1").replaceAll("<!--", "<\\!--");
  return new Html(`<script>${safe}</script>`);
}
