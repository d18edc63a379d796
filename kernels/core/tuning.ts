/**
 * Tuned parameters: the best that a tuner found for a kernel and a problem on an adapter, and the
 * look-up of these entries. The caller reads the files.
 */
import type { DeviceLimits, Variant } from "./variant.ts";
import type { Params } from "./problem/constants.ts";
import { LARGE_LIMITS } from "./device_limits.ts";
import { ownNames } from "./wgsl/wgsl_facts.ts";
import type { CodeSharing, KvDtype, Problem } from "./problem/problem.ts";
import { isRagged, planesOf, prefixOf } from "./problem/derived.ts";

/** The fields of a problem that decide which parameters are best. The others must only be valid. */
export interface TunedProblem {
  /** Sequences. */
  readonly batch: number;
  /** Query heads. */
  readonly qHeads: number;
  /** KV heads. */
  readonly kvHeads: number;
  /** Elements of a row of K or V. */
  readonly headDim: number;
  /** Tokens of each sequence. */
  readonly kvLen: number;
  /** Type of K and V. */
  readonly dtype: KvDtype;
  /** Bits of a code. */
  readonly bits: number;
  /** Whether the query heads of a group share a code. */
  readonly sharing: CodeSharing;
  /** Magnitude planes of a query code; 0 in entries of older files. */
  readonly planes: number;
}

/** The best parameters of one kernel for one problem on one adapter. */
export interface TunedEntry {
  /** The adapter's name. */
  readonly adapter: string;
  /** Name and version of the driver; null in shipped defaults, which fit any driver. */
  readonly driver: string | null;
  /** Graphics API under WebGPU; null in shipped defaults, which fit any. */
  readonly backend: string | null;
  /** Compiler of the WGSL; left out in shipped defaults and older files, which fit any. */
  readonly compiler?: string;
  /** Name of the variant. */
  readonly kernel: string;
  /** Checksum of the kernel's sources and candidates, see {@linkcode tuningChecksum}. */
  readonly checksum: string;
  /** The problem that it was tuned for. */
  readonly problem: TunedProblem;
  /** All parameters except those that the device decides, see {@linkcode tunableParams}. */
  readonly params: Params;
  /** Median microseconds of a step with them. */
  readonly us: number;
  /** Median microseconds of a step with the defaults; null if they failed. */
  readonly defaultUs: number | null;
}

/** The contents of a tuning file. Earlier entries win. */
export interface Tuning {
  /** Entries of any number of adapters. */
  readonly entries: readonly TunedEntry[];
}

/** The adapter in use. A field that is left out is not known and fits every entry. */
export interface TuningKey {
  /** The adapter's name. */
  readonly adapter: string;
  /** Name and version of the driver. */
  readonly driver?: string;
  /** Graphics API under WebGPU. */
  readonly backend?: string;
  /** Compiler of the WGSL. */
  readonly compiler?: string;
}

/** The result of a look-up. */
export interface TunedChoice {
  /** The tuned parameters; null if no entry fits. */
  readonly params: Params | null;
  /** True if an entry would fit, but the kernel or its candidates have changed since. */
  readonly stale: boolean;
}

/** The fields of a problem under which an entry is stored. */
export function tunedProblem(p: Problem): TunedProblem {
  const { batch, qHeads, kvHeads, headDim, kvLen, dtype, bits, sharing } = p;
  return { batch, qHeads, kvHeads, headDim, kvLen, dtype, bits, sharing, planes: planesOf(p) };
}

/**
 * SHA-256, in hexadecimal digits, of the WGSL that a variant runs for a problem and of the values
 * that a tuner may try. An entry with another checksum is stale.
 */
export async function tuningChecksum(variant: Variant, p: Problem): Promise<string> {
  // The checksum must not depend on the device, so the limits are always the same.
  const { dispatches } = variant.plan(p, variant.defaults(p, LARGE_LIMITS));
  const sources = [...new Set(dispatches.map(({ kernel }) => codeOf(kernel.source)))];
  const text = JSON.stringify([sources, Object.entries(variant.tunables).sort()]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  // Some browsers with WebGPU do not have toHex() yet.
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A WGSL text without comments and white space, and with numbers for the names of its own: a change
 * of words makes no entry stale.
 */
function codeOf(source: string): string {
  const own = ownNames(source);
  const numbers = new Map<string, string>();
  return source.replace(/\/\/.*$/gm, "").replace(/\b[A-Za-z]\w*/g, (name) => {
    if (!own.has(name)) return name;
    if (!numbers.has(name)) numbers.set(name, `#${numbers.size}`);
    return numbers.get(name)!;
  }).replace(/\s+/g, "");
}

/**
 * The tuned parameters of a variant for a problem. Entries for this driver come before shipped
 * ones, which are for any driver. An entry that the device refuses is skipped. A batch of sequences
 * of unequal length, or with a shared prefix, never has an entry.
 */
export async function tunedParams(
  tuning: Tuning,
  key: TuningKey,
  variant: Variant,
  p: Problem,
  limits: DeviceLimits,
): Promise<TunedChoice> {
  if (p.lengths || isRagged(p) || prefixOf(p) > 0) return { params: null, stale: false };
  const wanted = Object.entries(tunedProblem(p));
  const fits = tuning.entries.filter((entry) =>
    entry.kernel === variant.name && entry.adapter === key.adapter &&
    agrees(entry.driver, key.driver) && agrees(entry.backend, key.backend) &&
    agrees(entry.compiler ?? null, key.compiler) &&
    wanted.every(([name, value]) => entry.problem[name as keyof TunedProblem] === value)
  );
  if (fits.length === 0) return { params: null, stale: false };
  const checksum = await tuningChecksum(variant, p);
  const defaults = variant.defaults(p, limits);
  const names = Object.keys(tunableParams(defaults)).sort().join();
  const fresh = fits.filter((entry) => entry.checksum === checksum)
    .sort((a, b) => Number(a.driver === null) - Number(b.driver === null));
  const found = fresh.filter(({ params }) => Object.keys(params).sort().join() === names)
    .map(({ params }) => ({ ...defaults, ...params }))
    .find((params) => !variant.refuses(p, params, limits));
  return { params: found ?? null, stale: fresh.length === 0 };
}

/** The parameters except the hand-over of partials, which the device decides. */
export function tunableParams(params: Params): Params {
  return Object.fromEntries(
    Object.entries(params).filter(([name]) => name.split(".").at(-1) !== "HAND_OVER"),
  );
}

function agrees(entry: string | null, key: string | undefined): boolean {
  return entry === null || key === undefined || entry === key;
}
