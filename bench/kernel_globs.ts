/** Kernels chosen by globs of their names, such as `dense/*`. Pure. */
/** The contenders that match one glob or more, in the order in which they come. */
export function matching<T extends { readonly name: string }>(
  contenders: readonly T[],
  globs: readonly string[],
): readonly T[] {
  const patterns = globs.map((glob) =>
    new RegExp(`^${glob.split("*").map((part) => RegExp.escape(part)).join(".*")}$`)
  );
  return contenders.filter(({ name }) => patterns.some((pattern) => pattern.test(name)));
}
