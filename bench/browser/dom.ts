/// <reference lib="dom" />
/** Short names for what the page does with its document. */

/** The element with an id, which the page's HTML has. */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  return document.getElementById(id) as Type;
}

/** Replaces the options of a list. */
export function setOptions(
  list: HTMLSelectElement,
  options: readonly (readonly [value: string, label: string])[],
  chosen = options[0]?.[0],
): void {
  list.replaceChildren(
    ...options.map(([value, label]) => new Option(label, value, false, value === chosen)),
  );
}

/** Replaces the terms of a list of facts. */
export function setTerms(list: HTMLElement, terms: readonly (readonly [string, string])[]): void {
  list.replaceChildren(...terms.map(([name, value]) => {
    const group = document.createElement("div");
    const [term, definition] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    definition.textContent = value;
    group.append(term, definition);
    return group;
  }));
}

/** Replaces the items of a list. */
export function setItems(list: HTMLElement, items: readonly string[]): void {
  list.replaceChildren(...items.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

/** Offers a text as a file. */
export function saveFile(name: string, type: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The browser reads the text after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The text of an error for the user. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
