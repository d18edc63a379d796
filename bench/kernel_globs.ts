/** Kernels chosen by globs of their names, such as `dense/*`. Pure. */
import type { Contender } from "../kernels/contender.ts";

/** The contenders that match one glob or more, in the order in which they come. */
export function matching(
  contenders: readonly Contender[],
  globs: readonly string[],
): readonly Contender[] {
  const patterns = globs.map((glob) =>
    new RegExp(`^${glob.split("*").map((part) => RegExp.escape(part)).join(".*")}$`)
  );
  return contenders.filter(({ name }) => patterns.some((pattern) => pattern.test(name)));
}
