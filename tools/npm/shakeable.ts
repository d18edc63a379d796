/** Marks the values of a module, so that bundlers drop those that nobody imports. */

const START = /^(?:export )?const \w+(?:: [^\n]*?)? = /;

/**
 * The module with every top-level constant that computes something as a pure call of its own. Modules
 * of `kernels/` compute constants without side effects. `deno fmt` ends a statement with the first
 * line that is not indented and ends with a semicolon.
 */
export function shakeable(source: string): string {
  const lines = source.split("\n");
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const start = START.exec(lines[i])?.[0];
    if (start === undefined) {
      out.push(lines[i]);
      continue;
    }
    let end = i;
    while (!/;$/.test(lines[end]) || (end > i && /^\s/.test(lines[end]))) end++;
    const value = [lines[i].slice(start.length), ...lines.slice(i + 1, end + 1)].join("\n")
      .replace(/;$/, "");
    out.push(
      isCall(value) ? `${start}/* @__PURE__ */ (() => (${value}))();` : `${start}${value};`,
    );
    i = end;
  }
  return out.join("\n");
}

/** Whether a value is more than a literal or a function: arithmetic on names may have effects. */
function isCall(value: string): boolean {
  if (/^(async )?(<[^>]*>)?\([^)]*\)(: [^=]+)? =>|^\w+ =>|^\/(?!\*)/.test(value)) return false;
  return /\(|\.\.\.| [*/] | \*\* /.test(value);
}
