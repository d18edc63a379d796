/** Which cases a verdict may join, how each came out, and what people call them. Pure. */
import { compareCase, type Comparison } from "./comparison.ts";
import { picksName, traceName, unusualSettings } from "./case_names.ts";
import type { ResultRow } from "../results/row.ts";

/** Cases that differ in KV length alone. */
export interface CaseGroup {
  /** Of its rows one, which tells the settings of all. */
  readonly row: ResultRow;
  /** Inputs stay in the caches, as under `--hot`. */
  readonly hot: boolean;
  /** Shortest first. */
  readonly compared: readonly Comparison[];
  /** Lengths at which nothing could be compared, and why in half a sentence; shortest first. */
  readonly gaps: readonly { readonly kvLen: number; readonly why: string }[];
  /** Rows of kernels that failed their check: one of them might have been the fastest. */
  readonly failed: readonly ResultRow[];
}

/** The groups of a series in which dense kernels or whole sparse steps were timed at some length at least. */
export function caseGroups(rows: readonly ResultRow[]): CaseGroup[] {
  return [...Map.groupBy(rows, groupId).values()].filter((of) => of.some(isCompared))
    .flatMap(byCaches).map(groupOf);
}

/** Whether a row is of what a verdict compares. */
function isCompared({ stage }: ResultRow): boolean {
  return stage === "dense" || stage === "pipeline";
}

function groupId(row: ResultRow): string {
  return JSON.stringify([
    row.case_id.replace(/-n[\d_]+-b/, "-b"),
    // Batches of unequal sequences differ in more than one length.
    row.lengths.includes(" ") ? row.lengths : "",
    row.data_digest,
  ]);
}

/** Steps that found their inputs in the caches are compared apart from those that did not. */
function byCaches(rows: readonly ResultRow[]): ResultRow[][] {
  const steps = Map.groupBy(rows.filter(({ stage }) => stage === "pipeline"), isHot);
  const others = rows.filter(({ stage }) => stage !== "pipeline");
  return steps.size < 2 ? [[...rows]] : [...steps.values()].map((of) => [...others, ...of]);
}

/** A hot step uses one set of inputs over and over. */
function isHot({ sets }: ResultRow): boolean {
  return sets === 1;
}

function groupOf(rows: readonly ResultRow[]): CaseGroup {
  const cases = [...Map.groupBy(rows, ({ kv_len }) => kv_len)].sort(([a], [b]) => a - b);
  const found = cases.map(([kvLen, of]) => ({ kvLen, result: compareCase(of) }));
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

/** Names that tell groups apart: heads and picks always, other settings where they are unusual. */
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
      ...(trace === undefined ? [] : [`trace ${trace}`]),
      ...unusual[i].filter((text) => text !== picksName(row) && !text.endsWith(" cache")),
      ...(hot ? ["hot caches"] : []),
      picksName(row),
    ].join(", ");
  });
}
