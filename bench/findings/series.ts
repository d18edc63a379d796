/** Parts rows into series: the rows of one run, or of runs of one code on one device. */
import { caseName, type ResultRow } from "../results/row.ts";

/** A row that remembers the file it was read from. */
export interface SourcedRow extends ResultRow {
  /** Path of its file; rows without one count as one file. */
  readonly source?: string;
}

/** Rows that may be set against each other. */
export interface Series {
  /** Adapter and backend, and whatever else tells it from the other series. */
  readonly label: string;
  readonly software: boolean;
  /** One row for each kernel and case: the last that was measured. */
  readonly rows: readonly SourcedRow[];
  /** Rows that later ones of their kernel and case replaced. */
  readonly replaced: number;
}

/** What one run has one value of, and how a label tells it. */
const FACTS: readonly { readonly name: keyof ResultRow; tell(row: ResultRow): string }[] = [
  { name: "adapter", tell: ({ adapter }) => adapter },
  { name: "backend", tell: ({ backend }) => backend },
  { name: "driver", tell: ({ driver }) => `driver ${driver}` },
  { name: "runtime", tell: ({ runtime }) => runtime },
  { name: "commit", tell: ({ commit }) => `commit ${commit}` },
  { name: "timer", tell: ({ timer }) => `timed by ${timer}` },
];

/** Facts that every label tells. */
const ALWAYS_TOLD: readonly (keyof ResultRow)[] = ["adapter", "backend"];

/**
 * The series of the rows, in the order of their first rows. Rows that differ in adapter, driver,
 * backend, runtime, commit or timer never share one. Files that have a case in common are runs that
 * did not take turns, so each of them makes a series of its own; files of different cases add up.
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

/** The rows of each series, with those that later ones replaced. */
export function runsOf(rows: readonly SourcedRow[]): SourcedRow[][] {
  return [...Map.groupBy(rows, identityOf).values()].flatMap(byFiles);
}

function identityOf(row: ResultRow): string {
  return JSON.stringify(FACTS.map(({ name }) => row[name]));
}

/** The rows of one identity: together, or by file if any two files have a case in common. */
function byFiles(rows: readonly SourcedRow[]): SourcedRow[][] {
  const files = [...Map.groupBy(rows, ({ source }) => source ?? "").values()];
  const cases = files.flatMap((of) => [...new Set(of.map(caseName))]);
  return new Set(cases).size === cases.length ? [[...rows]] : files;
}

/** Adapter and backend, then each fact in which series of that adapter and backend differ. */
function labelsOf(groups: readonly (readonly SourcedRow[])[]): string[] {
  const firsts = groups.map(([row]) => row);
  const device = (row: ResultRow) => JSON.stringify(ALWAYS_TOLD.map((name) => row[name]));
  const labels = firsts.map((row) => {
    const alike = firsts.filter((other) => device(other) === device(row));
    return FACTS.filter(({ name }) =>
      ALWAYS_TOLD.includes(name) || alike.some((other) => other[name] !== row[name])
    ).map(({ tell }) => tell(row)).join(", ");
  });
  const starts = groups.map((group) => `run of ${minute(startOf(group))} UTC`);
  const files = firsts.map(({ source }) => source ?? "a file without a name");
  return toldApart(toldApart(labels, starts), files);
}

/** The labels, with an addition to those that agree with another. */
function toldApart(labels: readonly string[], additions: readonly string[]): string[] {
  return labels.map((label, i) =>
    labels.filter((other) => other === label).length > 1 ? `${label}, ${additions[i]}` : label
  );
}

function startOf(rows: readonly ResultRow[]): string {
  return rows.map(({ utc }) => utc).sort()[0];
}

/** A time to the minute, as pages write it. */
export function minute(utc: string): string {
  return utc.slice(0, 16).replace("T", " ");
}
