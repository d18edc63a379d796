/**
 * Text that several kernels share. Each kernel must compile on its own, so it holds a copy of the
 * text between `// @shared NAME` and `// @end`. The source is `kernels/shared/NAME.wgsl`.
 */

const BLOCK = /^([ \t]*)\/\/ @shared (\S+)\n([^]*?)^[ \t]*\/\/ @end$/gm;

/** Names of the shared texts that a kernel holds. */
export function sharedNames(source: string): string[] {
  return Array.from(source.matchAll(BLOCK), ([, , name]) => name);
}

/**
 * Replaces every shared text in a kernel by its source.
 *
 * @param read Reads the source of a shared text.
 * @throws {SyntaxError} for a marker without its counterpart.
 */
export function withSharedText(source: string, read: (name: string) => string): string {
  const result = source.replace(BLOCK, (_, indent: string, name: string) => {
    const lines = read(name).trimEnd().split("\n");
    const indented = lines.map((line) => line === "" ? "" : indent + line);
    return [`${indent}// @shared ${name}`, ...indented, `${indent}// @end`].join("\n");
  });
  const blocks = sharedNames(result).length;
  for (const marker of [/^[ \t]*\/\/ @shared\b/gm, /^[ \t]*\/\/ @end$/gm]) {
    if ((result.match(marker) ?? []).length !== blocks) {
      throw new SyntaxError("every // @shared NAME needs its // @end");
    }
  }
  return result;
}
