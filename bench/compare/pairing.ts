/** Pairs the rows of several runs by kernel and case. */
import { caseName, type ResultRow } from "../results/row.ts";

/** One run with its rows, as read from a file. */
export interface Recording {
  /** `A` for the base, then `B` and so on. */
  readonly label: string;
  readonly path: string;
  readonly rows: readonly ResultRow[];
}

/** A row of the base with the rows of the other runs for the same kernel and case. */
export interface Group {
  readonly base: ResultRow;
  /** In the order of the other runs; null for a run without the row. */
  readonly others: readonly (ResultRow | null)[];
}

/** The rows of one of two compared runs that the other run lacks. */
export interface Unpaired {
  /** The run that has the rows, and the run that lacks them. */
  readonly inFile: string;
  readonly notInFile: string;
  /** Cases without any row in the other run, each with the number of its rows. */
  readonly wholeCases: readonly NameCount[];
  /** Kernels missing from cases that both runs have, each with the number of those cases. */
  readonly kernels: readonly NameCount[];
  readonly rows: number;
}

/** A name and how often it occurs. */
export interface NameCount {
  readonly name: string;
  readonly count: number;
}

/** The rows that the runs have in common, and the others. */
export interface Pairing {
  /** Rows of the base that at least one other run also has. */
  readonly groups: readonly Group[];
  readonly unpaired: readonly Unpaired[];
  /** Numbers of rows by run that a later row of the same run, kernel and case replaced. */
  readonly replaced: readonly NameCount[];
}

/** Pairs the rows of the first run with those of the others. The last row of a name counts. */
export function pairRows(recordings: readonly Recording[]): Pairing {
  const runs = recordings.map(({ label, rows }) => ({
    label,
    byName: new Map(rows.map((row) => [nameOf(row), row])),
    total: rows.length,
  }));
  const [base, ...others] = runs;
  const groups = Array.from(base.byName, ([name, row]) => ({
    base: row,
    others: others.map(({ byName }) => byName.get(name) ?? null),
  }));
  return {
    groups: groups.filter(({ others }) => others.some((row) => row !== null)),
    unpaired: others.flatMap((other) => [missing(base, other), missing(other, base)])
      .filter(({ rows }) => rows > 0),
    replaced: runs.map(({ label, byName, total }) => ({ name: label, count: total - byName.size }))
      .filter(({ count }) => count > 0),
  };
}

function nameOf(row: ResultRow): string {
  return `${row.kernel} [${caseName(row)}]`;
}

interface Run {
  readonly label: string;
  readonly byName: ReadonlyMap<string, ResultRow>;
}

function missing(has: Run, lacks: Run): Unpaired {
  const known = new Set(Array.from(lacks.byName.values(), caseName));
  const rows = [...has.byName].filter(([name]) => !lacks.byName.has(name)).map(([, row]) => row);
  const whole = rows.filter((row) => !known.has(caseName(row)));
  const partly = rows.filter((row) => known.has(caseName(row)));
  return {
    inFile: has.label,
    notInFile: lacks.label,
    wholeCases: tally(whole.map(caseName)),
    kernels: tally(partly.map(({ kernel }) => kernel)),
    rows: rows.length,
  };
}

function tally(names: readonly string[]): NameCount[] {
  return Array.from(
    Map.groupBy(names, (name) => name),
    ([name, all]) => ({ name, count: all.length }),
  );
}
