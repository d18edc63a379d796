/** Figures of tuners' measurements: a heat map for each kernel and case. */
import type { Params } from "../../../kernels/core/problem/constants.ts";
import { candidateKey } from "../../tuning/candidates.ts";
import { type Known, known, type LogLine, type LogSubject } from "../../tuning/log.ts";
import type { Measured } from "../../tuning/messages.ts";
import { latestOf, winnerOf } from "../../tuning/outcome.ts";
import { ranked } from "../../tuning/search.ts";
import { decimalCell, type Figure, idOf, microsCell } from "./figure.ts";
import { heatCells, heatMapChart, varyingMost } from "./heatmap.ts";
import { tokensName } from "../../findings/case_names.ts";

/** The contents of a device's tuning logs. */
export interface Tuning {
  readonly device: string;
  readonly adapter: string;
  readonly driver: string;
  /** Kernels that changed and were measured again; only the last version counts. */
  readonly replaced: readonly string[];
  /** Kernels whose candidates all failed. */
  readonly failed: readonly string[];
  readonly figures: readonly Figure[];
}

/**
 * The figures of each device; an adapter with another driver is another device. Only the last
 * version of a kernel counts.
 */
export function tunings(lines: readonly LogLine[]): Tuning[] {
  const nameOf = ({ adapter, backend, compiler }: LogLine) =>
    `${adapter}, ${backend}${compiler === "naga" ? "" : `, ${compiler}`}`;
  const devices = Map.groupBy(
    lines,
    ({ adapter, backend, compiler, driver }) =>
      JSON.stringify([adapter, backend, compiler, driver]),
  );
  const groups = [...devices.values()];
  return groups.map((group) => {
    const [{ adapter, driver }] = group;
    const name = nameOf(group[0]);
    const isAlone = groups.filter(([line]) => nameOf(line) === name).length === 1;
    const device = isAlone ? name : `${name}, driver ${driver}`;
    const kernels = new Map(
      group.map((line) => [`${line.case_id} ${line.kernel}`, subjectOf(line)]),
    );
    const measured = [...kernels.values()].map((subject) => ({
      subject,
      ...known(group, subject),
    }));
    const unique = (values: readonly string[]) => [...new Set(values)];
    return {
      device,
      adapter,
      driver,
      replaced: unique(
        group.filter((line) =>
          kernels.get(`${line.case_id} ${line.kernel}`)!.checksum !== line.checksum
        )
          .map(({ kernel }) => kernel),
      ),
      failed: unique(
        measured.filter(({ measured }) =>
          // A kernel that a lost device left unmeasured has not failed.
          measured.length > 0 && measured.every(({ us }) => us === null)
        )
          .map(({ subject }) => subject.kernel),
      ),
      figures: measured.flatMap(({ subject, ...found }) => figuresOf(subject, found)),
    };
  });
}

function subjectOf(line: LogLine): LogSubject {
  const { adapter, driver, backend, compiler, case_id, kernel, checksum } = line;
  return { adapter, driver, backend, compiler, case_id, kernel, checksum };
}

/** The figure of a kernel and case; none if fewer than two candidates ran. */
function figuresOf({ kernel, case_id }: LogSubject, { measured, defaults }: Known): Figure[] {
  const latest = latestOf(measured);
  const names = varyingMost(latest);
  if (names === null) return [];
  const { baseline, best } = winnerOf({ latest, defaults });
  const [columns, rows] = names;
  return [{
    id: `tuning-${idOf(kernel)}-${idOf(case_id)}`,
    caption: `${candidatesOf(latest)} over ` +
      (rows === null
        ? `${columns}, the one parameter that varies.`
        : `${columns} and ${rows}, over which the times differ most: each cell shows the ` +
          "fastest candidate with both values.") +
      ` ${verdictOf(baseline?.us, best?.us)} Case: ${case_id}.`,
    chart: heatMapChart(
      heatCells(latest, names),
      names,
      `Tuning of ${kernel}: ${placeOf(case_id)}`,
    ),
    table: tableOf(latest, defaults, best?.params ?? null),
  }];
}

/** The defaults, the best, and all other candidates from the fastest on. */
function tableOf(
  latest: readonly Measured[],
  defaults: Params | null,
  best: Params | null,
): Figure["table"] {
  const names = [...new Set(latest.flatMap(({ params }) => Object.keys(params)))];
  const find = (params: Params | null) =>
    latest.filter((each) => params !== null && candidateKey(each.params) === candidateKey(params));
  const [[baseline], winners] = [find(defaults), find(best)];
  const others = [...ranked(latest), ...latest.filter(({ us }) => us === null)]
    .filter((each) => each !== baseline && !winners.includes(each));
  const cells = (role: string) => ({ params, us, low, high }: Measured) => [
    ...[role, microsCell(us), microsCell(low), microsCell(high)],
    us && baseline?.us ? decimalCell(baseline.us / us, 2) : null,
    ...names.map((name) => params[name] ?? null),
  ];
  return {
    columns: ["candidate", "us", "95% from", "to", "x default", ...names],
    rows: [
      ...(baseline ? [cells("default")(baseline)] : []),
      ...winners.map((each) => cells(each === baseline ? "best: the default" : "best")(each)),
      ...others.map((each) => cells(each.us === null ? "failed" : "other")(each)),
    ],
  };
}

function candidatesOf(latest: readonly Measured[]): string {
  const failed = latest.filter(({ us }) => us === null).length;
  return `${latest.length} candidates${failed > 0 ? `, ${failed} of which failed,` : ""}`;
}

function verdictOf(baselineUs: number | undefined, bestUs: number | undefined): string {
  if (!bestUs) return "Its tuning did not finish.";
  if (!baselineUs) return `The best takes ${micros(bestUs)} us; the defaults have no time.`;
  return bestUs < baselineUs
    ? `The best takes ${micros(bestUs)} us, the defaults ${micros(baselineUs)}.`
    : `No candidate beats the defaults, which take ${micros(baselineUs)} us, by more than noise.`;
}

/** The shape and the length in a case id; the whole id if it has neither. */
function placeOf(caseId: string): string {
  const [, shape, tokens] = caseId.match(/(\d+x\d+x\d+)-n(\d+)-b/) ?? [];
  return shape ? `${shape}, ${tokensName(Number(tokens))}` : caseId;
}

function micros(us: number): string {
  return microsCell(us)!.toLocaleString("en-US");
}
