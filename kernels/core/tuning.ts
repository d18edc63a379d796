/**
 * Tuned parameters: what a tuner found to be best for a kernel and a problem on an adapter, and how
 * to find it again. Pure but for a checksum, and web APIs only; files are read elsewhere.
 */
import type { DeviceLimits, Params, Variant } from "./variant.ts";
import { LARGE_LIMITS } from "./device_limits.ts";
import type { CodeSharing, KvDtype, Problem } from "./problem.ts";

/** What of a problem decides which parameters are best; the rest only has to be allowed by them. */
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
  /** Whose codes they are. */
  readonly sharing: CodeSharing;
}

/** The best parameters of one kernel for one problem on one adapter. */
export interface TunedEntry {
  /** The adapter's name. */
  readonly adapter: string;
  /** Name and version of the driver; null in defaults that are shipped for any. */
  readonly driver: string | null;
  /** Graphics API under WebGPU; null in defaults that are shipped for any. */
  readonly backend: string | null;
  /** Name of the variant. */
  readonly kernel: string;
  /** Of its sources and candidates, see {@linkcode tuningChecksum}. */
  readonly checksum: string;
  /** What it was tuned for. */
  readonly problem: TunedProblem;
  /** All of its parameters but those that the device decides, see {@linkcode tunableParams}. */
  readonly params: Params;
  /** Median microseconds of a step with them. */
  readonly us: number;
  /** Median microseconds of a step with the defaults; null where they failed. */
  readonly defaultUs: number | null;
}

/** What a tuning file holds. Earlier entries win. */
export interface Tuning {
  /** Entries of any number of adapters. */
  readonly entries: readonly TunedEntry[];
}

/** Which adapter runs; what is left out is not known and fits every entry. */
export interface TuningKey {
  /** The adapter's name. */
  readonly adapter: string;
  /** Name and version of the driver. */
  readonly driver?: string;
  /** Graphics API under WebGPU. */
  readonly backend?: string;
}

/** What a look-up found. */
export interface TunedChoice {
  /** The tuned parameters; null where no entry fits. */
  readonly params: Params | null;
  /** True where an entry would fit, but the kernel or its candidates have changed since. */
  readonly stale: boolean;
}

/** What of a problem an entry is filed under. */
export function tunedProblem(p: Problem): TunedProblem {
  const { batch, qHeads, kvHeads, headDim, kvLen, dtype, bits, sharing } = p;
  return { batch, qHeads, kvHeads, headDim, kvLen, dtype, bits, sharing };
}

/**
 * SHA-256, in hexadecimal digits, of the WGSL that a variant runs for a problem and of the values
 * that a tuner may try: another one makes what was tuned stale.
 */
export async function tuningChecksum(variant: Variant, p: Problem): Promise<string> {
  // Whose device it is must not matter, so it is always the same one.
  const { dispatches } = variant.plan(p, variant.defaults(p, LARGE_LIMITS));
  const sources = [...new Set(dispatches.map(({ kernel }) => codeOf(kernel.source)))];
  const text = JSON.stringify([sources, Object.entries(variant.tunables).sort()]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  // toHex() is younger than WebGPU.
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A WGSL text without comments and white space: a change of words makes no entry stale. */
function codeOf(source: string): string {
  return source.replace(/\/\/.*$/gm, "").replace(/\s+/g, "");
}

/**
 * The tuned parameters of a variant for a problem: of this adapter's own entries, else of those
 * that are shipped for any driver. An entry that the device refuses is passed over. Batches of
 * unequal sequences are tuned for nothing.
 */
export async function tunedParams(
  tuning: Tuning,
  key: TuningKey,
  variant: Variant,
  p: Problem,
  limits: DeviceLimits,
): Promise<TunedChoice> {
  if (p.lengths) return { params: null, stale: false };
  const wanted = Object.entries(tunedProblem(p));
  const fits = tuning.entries.filter((entry) =>
    entry.kernel === variant.name && entry.adapter === key.adapter &&
    agrees(entry.driver, key.driver) && agrees(entry.backend, key.backend) &&
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

/** Parameters without those that the device decides: how it hands partials over. */
export function tunableParams(params: Params): Params {
  return Object.fromEntries(
    Object.entries(params).filter(([name]) => name.split(".").at(-1) !== "HAND_OVER"),
  );
}

function agrees(entry: string | null, key: string | undefined): boolean {
  return entry === null || key === undefined || entry === key;
}
