/** Rows of several runs, paired by kernel and case. Pure. */
import { caseName, type ResultRow } from "../results/row.ts";

/** One results file, as read. */
export interface Recording {
  /** `A` for the base, then `B` and so on. */
  readonly label: string;
  readonly path: string;
  readonly rows: readonly ResultRow[];
}

/** A row of the base with what the other runs have of the same kernel and case. */
export interface Group {
  readonly base: ResultRow;
  /** In the order of the other runs; null where one has no such row. */
  readonly others: readonly (ResultRow | null)[];
}

/** Rows that one run has and the other, of the two compared, has not. */
export interface Unpaired {
  /** The run that has them, and the one that lacks them. */
  readonly inFile: string;
  readonly notInFile: string;
  /** Cases of which the other run has nothing, each with the number of its rows. */
  readonly wholeCases: readonly ErrorTally[];
  /** Kernels missing from cases that both have, each with the number of those cases. */
  readonly kernels: readonly ErrorTally[];
  readonly rows: number;
}

/** A name and how often it occurs. */
export interface ErrorTally {
  readonly name: string;
  readonly count: number;
}

/** What the runs have in common and what not. */
export interface Pairing {
  /** Rows of the base that at least one other run has too. */
  readonly groups: readonly Group[];
  readonly unpaired: readonly Unpaired[];
  /** Rows that a later row of the same run, kernel and case replaced, by run. */
  readonly replaced: readonly ErrorTally[];
}

/** Pairs the rows of the first run with those of each other; of several in a run the last counts. */
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

function tally(names: readonly string[]): ErrorTally[] {
  return Array.from(
    Map.groupBy(names, (name) => name),
    ([name, all]) => ({ name, count: all.length }),
  );
}
