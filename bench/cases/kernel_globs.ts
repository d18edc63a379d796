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

/** The word that stands for all rivals. */
const RIVALS_WORD = "rivals";

/**
 * The kernels that globs name, in their order. A rival is named by itself, by a glob that matches no
 * other kernel, or by the word `rivals`: `pipeline/*` stands for the pipelines of every run.
 *
 * @param unknown Called with the first glob that matches nothing.
 */
export function named<T extends { readonly name: string }>(
  { variants, rivals }: { readonly variants: readonly T[]; readonly rivals: readonly T[] },
  globs: readonly string[],
  unknown: (glob: string) => never,
): readonly T[] {
  const chosen = new Set(globs.flatMap((glob) => {
    if (glob === RIVALS_WORD) return rivals;
    const found = [variants, rivals].map((list) => matching(list, [glob]));
    return found.find((list) => list.length > 0) ?? unknown(glob);
  }));
  return [...variants, ...rivals].filter((variant) => chosen.has(variant));
}
