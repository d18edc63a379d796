/** Chooses kernels by globs of their names, such as `dense/*`. */

/**
 * The variants that match at least one glob, in their order. The name of a folder, `dense` or
 * `dense/`, matches all variants in it.
 */
export function matching<T extends { readonly name: string }>(
  variants: readonly T[],
  globs: readonly string[],
): readonly T[] {
  const folders = new Set(variants.map(({ name }) => name.split("/")[0]));
  const patterns = globs.map((glob) => {
    const folder = glob.replace(/\/$/, "");
    const full = folders.has(folder) ? `${folder}/*` : glob;
    return new RegExp(`^${full.split("*").map((part) => RegExp.escape(part)).join(".*")}$`);
  });
  return variants.filter(({ name }) => patterns.some((pattern) => pattern.test(name)));
}
