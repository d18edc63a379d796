/** Which rows of an earlier run into the same folder are kept, and which kernels are missing. */
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import type { BenchCase } from "../cases/cases.ts";
import { type Rotation, wantedSets } from "../measure/inputs/cache_rotation.ts";
import type { Session } from "../measure/session.ts";
import type { ResultRow } from "../results/row.ts";

/** A variant to measure, with its parameters. */
export interface Wanted {
  readonly variant: Variant;
  readonly params: Params;
}

/** Conditions of a row besides the code, the kernel and its parameters. */
export type Conditions =
  & Pick<Session, "facts" | "inputBytes">
  & { readonly timer: { readonly kind: string } }
  & { readonly settings: Pick<Session["settings"], "hot" | "layers" | "seed"> };

/** The verified rows of a case that were measured under the conditions of this run. */
export function sameConditions(
  latest: readonly ResultRow[],
  conditions: Conditions,
  { caseId, dataDigest = "" }: Pick<BenchCase, "caseId" | "dataDigest">,
): ResultRow[] {
  const { facts, inputBytes, timer, settings } = conditions;
  const rotation = { ...settings, hot: settings.hot || facts.software };
  return latest.filter((row) =>
    row.case_id === caseId && row.verified && row.median_us !== null &&
    row.timer === timer.kind &&
    Object.entries(facts).every(([name, fact]) => row[name as keyof ResultRow] === fact) &&
    (row.stage === "probe" ||
      row.seed === settings.seed && row.data_digest === dataDigest &&
        sameRotation(row, rotation, inputBytes))
  );
}

/**
 * Whether this run would rotate over as many sets. A row with fewer sets than wanted is reusable
 * only if memory was the limit then and is the same now.
 */
function sameRotation(
  { sets, wanted_sets, touched_bytes, memory_bytes }: ResultRow,
  rotation: Rotation,
  inputBytes: number,
): boolean {
  const wanted = wantedSets(touched_bytes, rotation);
  if (sets === wanted) return true;
  // Older rows do not tell whether a single set was all that memory allowed, or asked for as hot.
  const lackedMemory = wanted_sets === null ? sets > 1 : sets < wanted_sets;
  return sets < wanted && lackedMemory && memory_bytes === inputBytes;
}

/** The rows of all probes in `names`; null if one is missing. */
export function keptProbes(
  reusable: readonly ResultRow[],
  names: readonly string[],
): ResultRow[] | null {
  const rows = reusable.filter(({ kernel, stage }) => stage === "probe" && names.includes(kernel));
  return rows.length === names.length ? rows : null;
}

/**
 * Splits the kernels of a case into those whose rows are kept and those to measure. The rows of
 * dense kernels, pipelines and rivals are kept together or not at all, since a speedup holds only
 * between kernels that took turns.
 */
export function splitReusable(
  reusable: readonly ResultRow[],
  wanted: readonly Wanted[],
): { readonly kept: readonly ResultRow[]; readonly missing: readonly Wanted[] } {
  const rowOf = ({ variant, params }: Wanted) =>
    reusable.find((row) => row.kernel === variant.name && row.params === JSON.stringify(params));
  const denseUs = reusable.filter(({ stage }) => stage === "dense").map((row) => row.median_us!);
  const bestUs = denseUs.length > 0 ? Math.min(...denseUs) : null;
  const compared = wanted.filter(({ variant }) => isCompared(variant));
  const comparable = compared.every((each) => {
    const row = rowOf(each);
    return row !== undefined && refersTo(row, bestUs);
  });
  const isKept = (each: Wanted) =>
    rowOf(each) !== undefined && (comparable || !isCompared(each.variant));
  return {
    kept: wanted.filter(isKept).map((each) => rowOf(each)!),
    missing: wanted.filter((each) => !isKept(each)),
  };
}

function isCompared({ stage }: Variant): boolean {
  return stage === "dense" || stage === "pipeline" || stage === "rival";
}

/** Tolerance of a ratio, since numbers of rows are rounded to 6 digits. */
const ROUNDING = 1e-4;

/** Whether a row's speedup is relative to the median `bestUs`. */
function refersTo(
  { speedup_vs_dense: speedup, median_us }: ResultRow,
  bestUs: number | null,
): boolean {
  if (speedup === null || bestUs === null) return speedup === bestUs;
  return Math.abs(speedup * median_us! / bestUs - 1) < ROUNDING;
}
