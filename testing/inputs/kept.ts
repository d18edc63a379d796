/** Asserts that a step changes nothing of older tokens in the buffers that it keeps. */
import { assertEquals } from "@std/assert";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { keptNames, newestRows } from "../../kernels/verify/newest_rows.ts";
import type { Inputs } from "./input_options.ts";

/** Names of the inputs to which a step adds the newest token. */
export function keptInputs(p: Problem, inputs: Inputs): string[] {
  return keptNames(p).filter((name) => name in inputs);
}

/** Asserts that a buffer is unchanged but for the rows of the newest tokens. */
export function assertKept(
  name: string,
  p: Problem,
  lengths: readonly number[],
  before: ArrayBufferView<ArrayBuffer>,
  after: Uint8Array,
  where: string,
): void {
  const [old, now] = [before, after].map((view) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
    for (const row of newestRows(name, p, lengths)) {
      bytes.fill(0, row.offset, row.offset + row.bytes);
    }
    return bytes;
  });
  const changed = old.findIndex((byte, i) => byte !== now[i]);
  assertEquals(
    changed,
    -1,
    `byte ${changed} of ${name} is of an older token, but changed\n${where}`,
  );
}
