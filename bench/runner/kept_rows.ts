/** Which rows of an earlier run into the same folder stand, and which kernels are missing. Pure. */
import type { Params, Variant } from "../../kernels/core/variant.ts";
import type { BenchCase } from "../cases/cases.ts";
import { coldSets } from "../measure/inputs/cache_rotation.ts";
import type { Session } from "../measure/session.ts";
import type { ResultRow } from "../results/row.ts";

/** A kernel as a run is to measure it. */
export interface Wanted {
  readonly variant: Variant;
  readonly params: Params;
}

/** What rows depend on besides the code, the kernel and its parameters. */
export type Conditions =
  & Pick<Session, "facts" | "inputBytes">
  & { readonly timer: { readonly kind: string } }
  & { readonly settings: Pick<Session["settings"], "hot" | "seed"> };

/** The verified rows of a case that were measured under the conditions of this run. */
export function sameConditions(
  latest: readonly ResultRow[],
  conditions: Conditions,
  { caseId, dataDigest = "" }: Pick<BenchCase, "caseId" | "dataDigest">,
): ResultRow[] {
  const { facts, inputBytes, timer, settings } = conditions;
  const hot = settings.hot || facts.software;
  return latest.filter((row) =>
    row.case_id === caseId && row.verified && row.median_us !== null &&
    row.timer === timer.kind &&
    Object.entries(facts).every(([name, fact]) => row[name as keyof ResultRow] === fact) &&
    (row.stage === "probe" ||
      row.seed === settings.seed && row.data_digest === dataDigest &&
        rotatesAlike(row, hot, inputBytes))
  );
}

/** Fewer sets than cold steps want are as many as the memory held. */
function rotatesAlike(
  { sets, touched_bytes, memory_bytes }: ResultRow,
  hot: boolean,
  bytes: number,
) {
  if (hot || sets === 1) return hot && sets === 1;
  return sets === coldSets(touched_bytes) || memory_bytes === bytes;
}

/** The rows of all the probes named; null if one is missing. */
export function keptProbes(
  alike: readonly ResultRow[],
  names: readonly string[],
): ResultRow[] | null {
  const rows = alike.filter(({ kernel, stage }) => stage === "probe" && names.includes(kernel));
  return rows.length === names.length ? rows : null;
}

/**
 * Parts the kernels of a case into those whose rows stand and those to measure. Dense kernels and
 * pipelines stand together or not at all: their speedups hold between kernels that took turns.
 */
export function splitReusable(
  alike: readonly ResultRow[],
  wanted: readonly Wanted[],
): { readonly kept: readonly ResultRow[]; readonly missing: readonly Wanted[] } {
  const rowOf = ({ variant, params }: Wanted) =>
    alike.find((row) => row.kernel === variant.name && row.params === JSON.stringify(params));
  const dense = alike.filter(({ stage }) => stage === "dense").map((row) => row.median_us!);
  const best = dense.length > 0 ? Math.min(...dense) : null;
  const compared = wanted.filter(({ variant }) => isCompared(variant));
  const comparable = compared.every((each) => {
    const row = rowOf(each);
    return row !== undefined && refersTo(row, best);
  });
  const stands = (each: Wanted) =>
    rowOf(each) !== undefined && (comparable || !isCompared(each.variant));
  return {
    kept: wanted.filter(stands).map((each) => rowOf(each)!),
    missing: wanted.filter((each) => !stands(each)),
  };
}

function isCompared({ stage }: Variant): boolean {
  return stage === "dense" || stage === "pipeline";
}

/** Rows are written to 6 digits. */
const ROUNDING = 1e-4;

/** Whether a row's speedup is over the median `best`. */
function refersTo({ speedup_vs_dense: speedup, median_us }: ResultRow, best: number | null) {
  if (speedup === null || best === null) return speedup === best;
  return Math.abs(speedup * median_us! / best - 1) < ROUNDING;
}
