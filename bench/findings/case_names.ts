/** Names of cases for figures: the shape, and the settings that tell the case from others. */
import { counted } from "../base/counted.ts";
import { shapeName } from "../../kernels/core/problem/derived.ts";
import type { ResultRow } from "../results/row.ts";

/** Who owns a code, and who owns a selection if that differs. */
const SHARING_WORDS: Readonly<Record<ResultRow["code_sharing"], string>> = {
  head: "query head",
  kv: "KV head, selections per query head",
  group: "KV head",
};

/** The settings in which cases of one shape may differ, each as a text for a name. */
const SETTINGS: readonly ((row: ResultRow) => string)[] = [
  (row) => row.dtype,
  layoutName,
  (row) => `${row.bits} bits per ${SHARING_WORDS[row.code_sharing]}`,
  scoreName,
  picksName,
  (row) => row.sink + row.recent === 0 ? "no windows" : `windows of ${row.sink} + ${row.recent}`,
  (row) => `${row.cache} cache`,
  ({ trace_error: error }) => error === null ? "" : `error ${Number(error.toPrecision(2))}`,
];

/**
 * Names of a chart's lines, by case id. A line joins cases that differ only in KV length. Names
 * leave out the value of a setting that most cases have.
 */
export function lineNames(rows: readonly ResultRow[]): Map<string, string> {
  // One run may know the error of a case that another does not.
  const errors = new Map(
    rows.flatMap(({ case_id, trace_error }) =>
      trace_error === null ? [] : [[case_id, trace_error] as const]
    ),
  );
  // The last row of a case is a kernel's. The first ones may be probes, whose caches differ.
  const cases = [...new Map(rows.map((row) => [row.case_id, row])).values()]
    .map((row) => ({ ...row, trace_error: errors.get(row.case_id) ?? null }));
  const special = unusualSettings(cases);
  return new Map(cases.map((row, i) => [row.case_id, [lineName(row), ...special[i]].join(", ")]));
}

/** The settings of each row whose values are not those of most rows. */
export function unusualSettings(rows: readonly ResultRow[]): string[][] {
  const usual = SETTINGS.map((describe) => {
    const groups = [...Map.groupBy(rows, describe)];
    return groups.find(([, group]) => 2 * group.length > rows.length)?.[0];
  });
  return rows.map((row) =>
    SETTINGS.map((describe) => describe(row)).filter((text, i) => text !== "" && text !== usual[i])
  );
}

/**
 * The map, with the score and the rule for ties where they are not the paper's:
 * `linear-f16 weighted, 2 planes` or `rotated, 2 planes, ties to higher indices`.
 */
export function scoreName({ map, score, planes, ties }: ResultRow): string {
  const names: Readonly<Record<ResultRow["score"], string>> = {
    hamming: map,
    weighted: `${map} weighted`,
    // A map's name has the bins where they are not the default ones.
    rotated: map.replace("rotation", "rotated").replace("-centred", ", centred keys")
      .replace(/-(\d+)bins/, ", $1 bins")
      .replace(/-to(\d+)/, " up to $1"),
    "": map,
  };
  return [
    names[score],
    ...(score === "weighted" || score === "rotated" ? [counted(planes ?? 0, "plane")] : []),
    ...(ties === "higher" ? ["ties to higher indices"] : []),
  ].join(", ");
}

/** The layout and the pages of K and V, such as `bnhd in pages of 16`; empty for the usual ones. */
export function layoutName({ layout, page_tokens: tokens }: ResultRow): string {
  if (tokens === null) return layout === "bhnd" ? "" : layout;
  return `${layout} in pages of ${tokens}`;
}

/** The number of middle tokens that a case attends, such as `k = N/32` or `k = 600`. */
export function picksName({ case_id }: ResultRow): string {
  return `k = ${case_id.match(/-k(\d+)-w/)?.[1] ?? `N/${case_id.match(/-s(\d+)-w/)?.[1]}`}`;
}

/** The name of a case's trace; undefined for generated inputs. */
export function traceName({ case_id }: ResultRow): string | undefined {
  return case_id.match(/^trace-(.+)-\d+x\d+x\d+-n/)?.[1];
}

/** The settings that all cases share, as a text for a caption. */
export function sharedSettings(rows: readonly ResultRow[]): string {
  return SETTINGS.flatMap((describe) => {
    const texts = new Set(rows.map(describe));
    return texts.size === 1 ? [...texts].filter((text) => text !== "") : [];
  }).join(", ");
}

/** The name of one case: the name of its line and its KV length. */
export function caseName(row: ResultRow, lines: ReadonlyMap<string, string>): string {
  return `${lines.get(row.case_id)}, ${tokensName(row.kv_len)}`;
}

function lineName(row: ResultRow): string {
  const { q_heads, kv_heads, head_dim, batch, lengths, prefix, kv_len } = row;
  const trace = traceName(row);
  return [
    shapeName({ qHeads: q_heads, kvHeads: kv_heads, headDim: head_dim }),
    ...(batch > 1 ? [`batch ${batch}`] : []),
    ...(lengths.includes(" ") ? ["unequal lengths"] : []),
    ...(prefix > 0 ? [`own tails of ${kv_len - prefix} tokens`] : []),
    ...(trace ? [`trace ${trace}`] : []),
  ].join(", ");
}

/** A number of tokens as axes label it: 8K for 8,192. */
export function tokensName(tokens: number): string {
  return tokens % 1024 === 0 ? `${tokens / 1024}K` : String(tokens);
}
