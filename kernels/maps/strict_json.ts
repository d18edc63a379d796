/**
 * JSON whose objects have each name once. `JSON.parse` takes the last of several values of a name
 * without a word, so that two readers of one file may see two different tables.
 */

/** JSON in which an object has a name twice. */
export class DuplicateNameError extends SyntaxError {
  /** Name of the error class. */
  override readonly name = "DuplicateNameError";

  /** `duplicate` is the name that stands twice in one object. */
  constructor(readonly duplicate: string) {
    super(`the name "${duplicate}" stands twice in one object`);
  }
}

/**
 * The value of a JSON text.
 *
 * @throws {DuplicateNameError} if any of its objects has a name twice.
 * @throws {SyntaxError} if the text is not JSON.
 */
export function parseStrictJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  refuseDuplicates(text);
  return value;
}

/** Looks at the names of every object of a text that is known to be JSON. */
function refuseDuplicates(text: string): void {
  // The names so far of every open object; null for an open array.
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "{") open.push(new Set());
    else if (char === "[") open.push(null);
    else if (char === "}" || char === "]") open.pop();
    else if (char === '"') {
      const end = endOfString(text, at);
      const names = open.at(-1);
      if (names && isName(text, end)) {
        const name: string = JSON.parse(text.slice(at, end));
        if (names.has(name)) throw new DuplicateNameError(name);
        names.add(name);
      }
      at = end - 1;
    }
  }
}

/** The place behind the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Whether a colon follows: then the string that ends at `end` is the name of a value. */
function isName(text: string, end: number): boolean {
  let at = end;
  while (" \t\r\n".includes(text[at])) at++;
  return text[at] === ":";
}
