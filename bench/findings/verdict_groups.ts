/** Groups the cases that one verdict may cover, compares each case and names the groups. */
import { compareCase, type Comparison } from "./comparison.ts";
import { picksName, traceName, unusualSettings } from "./case_names.ts";
import type { ResultRow } from "../results/row.ts";

/** Cases that differ only in KV length. */
export interface CaseGroup {
  /** One of the rows. All have its settings. */
  readonly row: ResultRow;
  /** Whether inputs stay in the caches, as under `--hot`. */
  readonly hot: boolean;
  /** Shortest first. */
  readonly compared: readonly Comparison[];
  /** Lengths without a comparison, each with the reason as half a sentence; shortest first. */
  readonly gaps: readonly { readonly kvLen: number; readonly why: string }[];
  /** Rows of kernels that failed their check. One of them might have been the fastest. */
  readonly failed: readonly ResultRow[];
}

/** The groups of a series that have a row of a dense kernel or a whole sparse step. */
export function caseGroups(rows: readonly ResultRow[]): CaseGroup[] {
  return [...Map.groupBy(rows, groupId).values()].filter((group) => group.some(isCompared))
    .flatMap(byCaches).map(groupOf);
}

/** Whether a verdict compares this row. */
function isCompared({ stage }: ResultRow): boolean {
  return stage === "dense" || stage === "pipeline";
}

function groupId(row: ResultRow): string {
  return JSON.stringify([
    row.case_id.replace(/-n[\d_]+-b/, "-b"),
    // Two batches of unequal sequences may differ in more than one length.
    row.lengths.includes(" ") ? row.lengths : "",
    row.data_digest,
  ]);
}

/** Separates steps whose inputs were in the caches from the others. */
function byCaches(rows: readonly ResultRow[]): ResultRow[][] {
  const steps = Map.groupBy(rows.filter(({ stage }) => stage === "pipeline"), isHot);
  const others = rows.filter(({ stage }) => stage !== "pipeline");
  if (steps.size < 2) return [[...rows]];
  return [...steps.values()].map((stepsOfKind) => [...others, ...stepsOfKind]);
}

/** Whether a step's inputs were in the caches. */
function isHot({ cache }: ResultRow): boolean {
  return cache === "hot";
}

function groupOf(rows: readonly ResultRow[]): CaseGroup {
  const cases = [...Map.groupBy(rows, ({ kv_len }) => kv_len)].sort(([a], [b]) => a - b);
  const found = cases.map(([kvLen, rowsOfCase]) => ({ kvLen, result: compareCase(rowsOfCase) }));
  const compared = rows.filter(isCompared);
  const steps = compared.filter(({ stage }) => stage === "pipeline");
  return {
    row: compared[0],
    hot: (steps.length > 0 ? steps : compared).every(isHot),
    compared: found.flatMap(({ result }) => typeof result === "string" ? [] : [result]),
    gaps: found.flatMap(({ kvLen, result }) =>
      typeof result === "string" ? [{ kvLen, why: result }] : []
    ),
    failed: compared.filter(({ verified }) => !verified),
  };
}

/** Distinct names of groups: always heads and k, and the other settings if they are unusual. */
export function groupNames(groups: readonly CaseGroup[]): string[] {
  if (groups.length === 0) return [];
  const rows = groups.map(({ row }) => row);
  const unusual = unusualSettings(rows);
  return groups.map(({ row, hot }, i) => {
    const trace = traceName(row);
    return [
      `${row.q_heads}/${row.kv_heads} heads`,
      ...(row.head_dim === 128 ? [] : [`head dim ${row.head_dim}`]),
      ...(row.batch > 1 ? [`batch ${row.batch}`] : []),
      ...(row.lengths.includes(" ") ? [`sequences of ${row.lengths.split(" ").join(", ")}`] : []),
      ...(row.prefix > 0 ? [`a shared prefix and own tails of ${row.kv_len - row.prefix}`] : []),
      ...(trace === undefined ? [] : [`trace ${trace}`]),
      ...unusual[i].filter((text) => text !== picksName(row) && !text.endsWith(" cache")),
      ...(hot ? ["hot caches"] : []),
      picksName(row),
    ].join(", ");
  });
}
