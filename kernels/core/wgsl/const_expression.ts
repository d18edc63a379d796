/**
 * Evaluates WGSL u32 constant expressions, for loop bounds and array sizes. They consist of
 * numbers, names, + - * / % << >>, comparisons, parentheses and the functions below. Others have no
 * value.
 */

const TOKEN = /\s*(?:(\d+)u?|([A-Za-z_]\w*)|(<<|>>|==|!=|<=|>=|[-+*/%()<>,]))/y;

/** Values of the names that an expression may use. */
export type ConstNames = ReadonlyMap<string, number>;

/** A parsed expression. It returns the value for some names, or NaN if there is none. */
type Evaluate = (names: ConstNames) => number;

/** Binary operators by precedence, lowest first. */
const LEVELS: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  {
    "==": (a, b) => Number(a === b),
    "!=": (a, b) => Number(a !== b),
    "<": (a, b) => Number(a < b),
    ">": (a, b) => Number(a > b),
    "<=": (a, b) => Number(a <= b),
    ">=": (a, b) => Number(a >= b),
  },
  { "<<": (a, b) => (a << b) >>> 0, ">>": (a, b) => a >>> b },
  { "+": (a, b) => a + b, "-": (a, b) => a - b },
  { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b), "%": (a, b) => a % b },
];

const FUNCTIONS: Readonly<Record<string, (...values: number[]) => number>> = {
  u32: (value) => value,
  min: Math.min,
  max: Math.max,
  countLeadingZeros: Math.clz32,
  firstTrailingBit: (value) => 31 - Math.clz32(value & -value),
};

/** Expressions parsed so far: a tuner evaluates the same ones for thousands of candidates. */
const known = new Map<string, Evaluate | undefined>();

/** The value of `text`, or undefined if it is no u32 constant expression over `names`. */
export function evaluateConst(text: string, names: ConstNames): number | undefined {
  if (!known.has(text)) known.set(text, parse(text));
  const value = known.get(text)?.(names);
  return value !== undefined && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** Parses an expression, or returns undefined if it has unknown parts. */
function parse(text: string): Evaluate | undefined {
  const tokens = tokenize(text);
  if (!tokens) return undefined;
  let at = 0;
  const fail = Symbol();

  function primary(): Evaluate {
    const token = tokens![at++];
    if (token === "(") return closed(() => level(0));
    if (token === undefined) throw fail;
    if (/^\d/.test(token)) {
      const value = Number(token);
      return () => value;
    }
    const call = FUNCTIONS[token];
    if (call && tokens![at] === "(") {
      at++;
      const values = [level(0)];
      while (tokens![at] === ",") {
        at++;
        values.push(level(0));
      }
      return closed(() => (names) => call(...values.map((value) => value(names))));
    }
    if (!/^[A-Za-z_]/.test(token)) throw fail;
    return (names) => names.get(token) ?? NaN;
  }

  function closed(inner: () => Evaluate): Evaluate {
    const value = inner();
    if (tokens![at++] !== ")") throw fail;
    return value;
  }

  function level(depth: number): Evaluate {
    if (depth === LEVELS.length) return primary();
    let left = level(depth + 1);
    for (let apply; (apply = LEVELS[depth][tokens![at]]);) {
      at++;
      const [a, b, combine] = [left, level(depth + 1), apply];
      left = (names) => combineNumbers(combine, a(names), b(names));
    }
    return left;
  }

  try {
    const value = level(0);
    return at === tokens.length ? value : undefined;
  } catch (error) {
    if (error === fail) return undefined;
    throw error;
  }
}

/** Applies an operator, and keeps NaN: otherwise a comparison with NaN would give 0. */
function combineNumbers(apply: (a: number, b: number) => number, a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? NaN : apply(a, b);
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
