/**
 * Parses JSON and refuses duplicate names in an object. `JSON.parse` silently takes the last value
 * of a duplicate name, so two readers of one file could see different contents.
 */

/** A JSON text has an object with a duplicate name. */
export class DuplicateNameError extends SyntaxError {
  /** Name of the error class. */
  override readonly name = "DuplicateNameError";

  /** Makes an error for the name `duplicate`. */
  constructor(readonly duplicate: string) {
    super(`the name "${duplicate}" occurs twice in one object`);
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

/** Checks the names in every object of a valid JSON text. */
function refuseDuplicates(text: string): void {
  // For every open object its names so far, and null for an open array.
  const open: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "{") open.push(new Set());
    else if (char === "[") open.push(null);
    else if (char === "}" || char === "]") open.pop();
    else if (char === '"') {
      const end = endOfString(text, i);
      const names = open.at(-1);
      if (names && isName(text, end)) {
        const name: string = JSON.parse(text.slice(i, end));
        if (names.has(name)) throw new DuplicateNameError(name);
        names.add(name);
      }
      i = end - 1;
    }
  }
}

/** The index after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}

/** Whether the string that ends at `end` is a name: then a colon follows. */
function isName(text: string, end: number): boolean {
  let i = end;
  while (" \t\r\n".includes(text[i])) i++;
  return text[i] === ":";
}
