/**
 * Text that several kernels share. A kernel has to run as it stands, so it holds a copy of such
 * text between `// @shared NAME` and `// @end`; the source is `kernels/shared/NAME.wgsl`.
 */

const BLOCK = /^([ \t]*)\/\/ @shared (\S+)\n([^]*?)^[ \t]*\/\/ @end$/gm;

/** Names of the shared texts that a kernel holds. */
export function sharedNames(source: string): string[] {
  return Array.from(source.matchAll(BLOCK), ([, , name]) => name);
}

/**
 * A kernel's text with every shared text as its source has it.
 *
 * @param read Gives the source of a shared text.
 * @throws {SyntaxError} for a marker without its partner.
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
