/**
 * Touches of K and V before rows are gathered. The rows of a list lie in all pages of the device's
 * memory that K and V take, and each page costs a translation of addresses. A workgroup that touches
 * the pages while it makes its list waits less for translations afterwards.
 */
import { hasPlainCache } from "../core/cache_layout.ts";
import { kvBytes, prefixOf, type Problem } from "../core/problem.ts";

/** Bytes of a page of the device's memory. */
const PAGE_BYTES = 2 ** 21;

/** Values of TOUCH, the bytes from a touch to the next. Those that are not pages are for tests. */
export const TOUCH_RANGE: readonly number[] = [0, 2 ** 16, 2 ** 20, PAGE_BYTES];

/** Values of TOUCH that are worth a trial. */
export const TOUCH_STRIDES: readonly number[] = [0, PAGE_BYTES];

/** Pages of a KV head's keys that are too few for touches. */
const FEW_PAGES = 4;

/** TOUCH by default. Only where tokens lie side by side do their rows tell the pages. */
export function touchFor(p: Problem): number {
  const bytes = p.capacity * p.headDim * kvBytes(p.dtype); // of a KV head's keys
  const hasRuns = hasPlainCache(p) && prefixOf(p) === 0;
  return hasRuns && bytes > FEW_PAGES * PAGE_BYTES ? PAGE_BYTES : 0;
}
