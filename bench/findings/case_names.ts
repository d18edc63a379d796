/** What figures call a case: its shape, and of its settings those that tell it from others. Pure. */
import { shapeName } from "../../kernels/core/problem.ts";
import type { ResultRow } from "../results/row.ts";

/** The settings that make cases of one shape differ, and how a name tells each. */
const SETTINGS: readonly ((row: ResultRow) => string)[] = [
  (row) => row.dtype,
  (row) => `${row.bits} bits per ${row.code_sharing === "head" ? "query head" : "KV head"}`,
  (row) => row.map,
  picksName,
  (row) => row.sink + row.recent === 0 ? "no windows" : `windows of ${row.sink} + ${row.recent}`,
  (row) => `${row.cache} cache`,
];

/**
 * The names of the lines that join cases differing in KV length alone, by case id. The commonest
 * value of a setting goes without saying.
 */
export function lineNames(rows: readonly ResultRow[]): Map<string, string> {
  // A case's last row is a kernel's; its first ones may be probes, which know other caches.
  const cases = [...new Map(rows.map((row) => [row.case_id, row])).values()];
  const special = unusualSettings(cases);
  return new Map(cases.map((row, i) => [row.case_id, [lineName(row), ...special[i]].join(", ")]));
}

/** Of each row the settings that are not the commonest of all rows. */
export function unusualSettings(rows: readonly ResultRow[]): string[][] {
  const common = SETTINGS.map((tell) => {
    const groups = [...Map.groupBy(rows, tell)];
    return groups.reduce((most, group) => group[1].length > most[1].length ? group : most)[0];
  });
  return rows.map((row) =>
    SETTINGS.map((tell) => tell(row)).filter((text, i) => text !== common[i])
  );
}

/** How many of the middle tokens a case attends: `k = N/32`, or a number. */
export function picksName({ case_id }: ResultRow): string {
  return `k = ${case_id.match(/-k(\d+)-w/)?.[1] ?? `N/${case_id.match(/-s(\d+)-w/)?.[1]}`}`;
}

/** The name of a trace that a case is of; undefined for generated inputs. */
export function traceName({ case_id }: ResultRow): string | undefined {
  return case_id.match(/^trace-(.+)-\d+x\d+x\d+-n/)?.[1];
}

/** The settings that all cases share, as a caption tells them. */
export function sharedSettings(rows: readonly ResultRow[]): string {
  return SETTINGS.flatMap((tell) => {
    const told = new Set(rows.map(tell));
    return told.size === 1 ? [...told] : [];
  }).join(", ");
}

/** The name of one case: that of its line, and its KV length. */
export function caseName(row: ResultRow, lines: ReadonlyMap<string, string>): string {
  return `${lines.get(row.case_id)}, ${tokensName(row.kv_len)}`;
}

function lineName(row: ResultRow): string {
  const { q_heads, kv_heads, head_dim, batch, lengths } = row;
  const trace = traceName(row);
  return [
    shapeName({ qHeads: q_heads, kvHeads: kv_heads, headDim: head_dim }),
    ...(batch > 1 ? [`batch ${batch}`] : []),
    ...(lengths.includes(" ") ? ["unequal lengths"] : []),
    ...(trace ? [`trace ${trace}`] : []),
  ].join(", ");
}

/** A number of tokens as axes write it: 8K for 8,192. */
export function tokensName(tokens: number): string {
  return tokens % 1024 === 0 ? `${tokens / 1024}K` : String(tokens);
}
