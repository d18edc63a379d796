/** Splits rows into series: the rows of one run, or of runs of the same code on one device. */
import { cardOf } from "../results/card.ts";
import { caseName, type ResultRow } from "../results/row.ts";

/** A row with the file from which it was read. */
export interface SourcedRow extends ResultRow {
  /** Path of the file. Rows without a path count as one file. */
  readonly source?: string;
}

/** Rows that may be compared with each other. */
export interface Series {
  /** Adapter and backend, and the facts that tell this series from the others. */
  readonly label: string;
  readonly software: boolean;
  /** One row for each kernel and case: the last one measured. */
  readonly rows: readonly SourcedRow[];
  /** Number of rows that later rows of their kernel and case replaced. */
  readonly replaced: number;
}

/** The facts that are equal in a series, each with its text for a label. */
const FACTS: readonly { readonly name: keyof ResultRow; describe(row: ResultRow): string }[] = [
  { name: "adapter", describe: ({ adapter }) => adapter },
  { name: "backend", describe: ({ backend }) => backend },
  { name: "driver", describe: ({ driver }) => `driver ${driver}` },
  { name: "runtime", describe: ({ runtime }) => runtime },
  { name: "commit", describe: ({ commit }) => `commit ${commit}` },
  { name: "toggles", describe: ({ toggles }) => toggles || "no toggles" },
  { name: "limits", describe: ({ limits }) => `limits of ${limits}` },
  { name: "timer", describe: ({ timer }) => `timed by ${timer}` },
];

/** Facts that every label contains. */
const ALWAYS_NAMED: readonly (keyof ResultRow)[] = ["adapter", "backend"];

/**
 * The series of the rows, in the order of their first rows. The rows of a series agree in adapter,
 * driver, backend, runtime, commit, toggles, limits and timer. Files with a case in common are runs
 * that did not take turns, so each of them is a series of its own. Files of different cases form one
 * series.
 */
export function seriesOf(rows: readonly SourcedRow[]): Series[] {
  const groups = runsOf(rows);
  const labels = labelsOf(groups);
  return groups.map((group, i) => {
    const last = new Map(group.map((row) => [`${row.kernel} [${caseName(row)}]`, row]));
    return {
      label: labels[i],
      software: group.some(({ software }) => software),
      rows: [...last.values()],
      replaced: group.length - last.size,
    };
  });
}

/** The rows of each series, including rows that later ones replaced. */
export function runsOf(rows: readonly SourcedRow[]): SourcedRow[][] {
  return [...Map.groupBy(rows, identityOf).values()].flatMap(byFiles);
}

function identityOf(row: ResultRow): string {
  return JSON.stringify(FACTS.map(({ name }) => row[name]));
}

/** The rows of equal facts as one series, or by file if two files have a case in common. */
function byFiles(rows: readonly SourcedRow[]): SourcedRow[][] {
  const files = [...Map.groupBy(rows, ({ source }) => source ?? "").values()];
  const cases = files.flatMap((rowsOfFile) => [...new Set(rowsOfFile.map(caseName))]);
  return new Set(cases).size === cases.length ? [[...rows]] : files;
}

/** Adapter and backend, then each fact in which series of that card and backend differ. */
function labelsOf(groups: readonly (readonly SourcedRow[])[]): string[] {
  const firsts = groups.map(([row]) => row);
  const device = ({ adapter, backend }: ResultRow) => `${cardOf(adapter)}, ${backend}`;
  const labels = firsts.map((row) => {
    const sameDevice = firsts.filter((other) => device(other) === device(row));
    return FACTS.filter(({ name }) =>
      ALWAYS_NAMED.includes(name) || sameDevice.some((other) => other[name] !== row[name])
    ).map(({ describe }) => describe(row)).join(", ");
  });
  const starts = groups.map((group) => `run of ${minute(startOf(group))} UTC`);
  const files = firsts.map(({ source }) => source ?? "a file without a name");
  return distinguished(distinguished(labels, starts), files);
}

/** The labels. A label that occurs more than once gets its addition. */
function distinguished(labels: readonly string[], additions: readonly string[]): string[] {
  return labels.map((label, i) =>
    labels.filter((other) => other === label).length > 1 ? `${label}, ${additions[i]}` : label
  );
}

function startOf(rows: readonly ResultRow[]): string {
  return rows.map(({ utc }) => utc).sort()[0];
}

/** A time to the minute, such as `2026-01-02 03:04`. */
export function minute(utc: string): string {
  return utc.slice(0, 16).replace("T", " ");
}
