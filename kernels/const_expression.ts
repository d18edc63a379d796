/**
 * Values of WGSL u32 constant expressions, for the loader's loop bounds: numbers, names, + - * / %
 * comparisons, `u32(...)`, `min`, `max` and parentheses. Anything else has no value here.
 */

const TOKEN = /\s*(?:(\d+)u?|([A-Za-z_]\w*)|(==|!=|<=|>=|[-+*/%()<>,]))/y;

/** Binary operators by how tightly they bind, loosest first. */
const LEVELS: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  {
    "==": (a, b) => Number(a === b),
    "!=": (a, b) => Number(a !== b),
    "<": (a, b) => Number(a < b),
    ">": (a, b) => Number(a > b),
    "<=": (a, b) => Number(a <= b),
    ">=": (a, b) => Number(a >= b),
  },
  { "+": (a, b) => a + b, "-": (a, b) => a - b },
  { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b), "%": (a, b) => a % b },
];

const FUNCTIONS: Readonly<Record<string, (...values: number[]) => number>> = {
  u32: (value) => value,
  min: Math.min,
  max: Math.max,
};

/** The value of `text`, or undefined if it is no u32 constant expression over `names`. */
export function evaluateConst(
  text: string,
  names: ReadonlyMap<string, number>,
): number | undefined {
  const tokens = tokenize(text);
  if (!tokens) return undefined;
  let at = 0;
  const fail = Symbol();

  function primary(): number {
    const token = tokens![at++];
    if (token === "(") return closed(() => level(0));
    if (token === undefined) throw fail;
    if (/^\d/.test(token)) return Number(token);
    const call = FUNCTIONS[token];
    if (call && tokens![at] === "(") {
      at++;
      const values = [level(0)];
      while (tokens![at] === ",") {
        at++;
        values.push(level(0));
      }
      return closed(() => call(...values));
    }
    const value = names.get(token);
    if (value === undefined) throw fail;
    return value;
  }

  function closed(inner: () => number): number {
    const value = inner();
    if (tokens![at++] !== ")") throw fail;
    return value;
  }

  function level(depth: number): number {
    if (depth === LEVELS.length) return primary();
    let left = level(depth + 1);
    for (let apply; (apply = LEVELS[depth][tokens![at]]);) {
      at++;
      left = apply(left, level(depth + 1));
    }
    return left;
  }

  try {
    const value = level(0);
    return at === tokens.length && Number.isInteger(value) && value >= 0 ? value : undefined;
  } catch (error) {
    if (error === fail) return undefined;
    throw error;
  }
}

function tokenize(text: string): string[] | undefined {
  const tokens: string[] = [];
  const trimmed = text.trim();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < trimmed.length) {
    const match = TOKEN.exec(trimmed);
    if (!match) return undefined;
    tokens.push(match[1] ?? match[2] ?? match[3]);
  }
  return tokens;
}
