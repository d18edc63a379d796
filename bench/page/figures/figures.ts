/** All figures of a report, in sections: for each device, for its tuning, and for quality. */
import { isSoftwareName } from "../../base/software_names.ts";
import { scoreName } from "../../findings/case_names.ts";
import type { PeerTime } from "../../findings/peers.ts";
import type { QualityRow } from "../../results/quality_rows.ts";
import type { ResultRow } from "../../results/row.ts";
import { minute, type Series, seriesOf, type SourcedRow } from "../../findings/series.ts";
import { arithmeticRooflineFigures } from "./arithmetic_roofline.ts";
import { CASE_TABLE_WORDS, caseTable } from "./case_table.ts";
import { devicesSideBySide } from "./devices.ts";
import { idOf, type Section, SHAPE_WORDS } from "./figure.ts";
import { type FrontierData, frontierSections } from "./frontier.ts";
import { qualityFigures } from "./quality.ts";
import { rooflineFigures } from "./roofline.ts";
import { casesApart, lineTimes, speedupFigures } from "./speedup.ts";
import { stageFigures } from "./stages.ts";
import type { LogLine } from "../../tuning/log.ts";
import { type Tuning, tunings } from "./tuning.ts";
import type { GpuPlan } from "../../findings/verdict.ts";

/** The data of a report. */
export interface ReportData {
  readonly rows: readonly SourcedRow[];
  /** Times of other software, by adapter. */
  readonly peers: ReadonlyMap<string, readonly PeerTime[]>;
  readonly quality: readonly QualityRow[];
  /** Lines of tuners' logs. */
  readonly tuning: readonly LogLine[];
  /** The rows of `frontier`, and the error for which its figures name the best step. */
  readonly frontier?: FrontierData;
  /** The GPU run that verdicts on a software adapter recommend (default: quickstart). */
  readonly plan?: GpuPlan;
}

const SOFTWARE = "A software adapter's times say nothing about a GPU.";

/**
 * The sections of a report: error against time, devices side by side, each device, tuning, quality. Software adapters
 * come after the GPUs, and their times appear only in their own sections. Ids are unique over all
 * sections.
 */
export function sectionsOf({ rows, peers, quality, tuning, frontier }: ReportData): Section[] {
  const all = seriesOf(rows);
  const devices = all.filter(({ software }) => !software);
  const adapters = all.filter(({ software }) => software);
  const peersOf = ({ rows }: Series) => peers.get(rows[0].adapter) ?? [];
  const sections = [...devices, ...adapters].map((series): Section => {
    const section = deviceSection(series, peersOf(series), devices.length === 1);
    const prefix = all.length > 1 ? `${idOf(series.label)}-` : "";
    const withPrefix = <T extends { readonly id: string }>(each: T): T => (
      { ...each, id: prefix + each.id }
    );
    return {
      ...section,
      tables: section.tables.map(withPrefix),
      figures: section.figures.map(withPrefix),
    };
  });
  if (devices.length > 1) {
    sections.unshift({
      heading: "Devices side by side",
      facts: [],
      warning: null,
      ...devicesSideBySide(devices, peersOf, adapters.map(({ label }) => label)),
    });
  }
  if (frontier !== undefined) sections.unshift(...frontierSections(frontier));
  sections.push(...tunings(tuning).map((each) => tuningSection(each, rows)));
  const figures = qualityFigures(quality);
  if (figures.length > 0) {
    const heading = "Quality against budget";
    sections.push({ heading, facts: [], warning: null, tables: [], figures });
  }
  return withUniqueIds(sections);
}

/** The section of one series. Only a single device has its cases there; several share a table. */
function deviceSection(
  series: Series,
  peers: readonly PeerTime[],
  isSingle: boolean,
): Section {
  const { label, rows, software } = series;
  const cases = caseTable([{ name: label, times: lineTimes(rows, peers) }]);
  const warnings = warningsOf(series);
  return {
    heading: label,
    facts: factsOf(rows),
    warning: warnings.length > 0 ? warnings.join(" ") : null,
    tables: isSingle && !software && cases.rows.length > 0
      ? [{
        id: "cases",
        title: "Dense attention and the sparse step",
        caption: `Names of cases are ${SHAPE_WORDS}; ${CASE_TABLE_WORDS}`,
        wide: false,
        table: cases,
      }]
      : [],
    figures: [
      ...speedupFigures(rows, peers),
      ...stageFigures(rows),
      ...rooflineFigures(rows),
      ...arithmeticRooflineFigures(rows),
    ],
  };
}

/** Explains every row and ratio that a reader would look for in vain. */
function warningsOf({ rows, software, replaced }: Series): string[] {
  const failed = rows.filter(({ verified }) => !verified).map(({ kernel }) => kernel);
  const timeless = rows.filter(({ verified, median_us }) => verified && !median_us);
  const apart = casesApart(rows);
  return [
    ...(software ? [SOFTWARE] : []),
    ...(failed.length > 0
      ? [`Kernels that FAILED, so their times do not count: ${[...new Set(failed)].join(", ")}.`]
      : []),
    ...(timeless.length > 0
      ? [`Rows without a time, which are left out: ${timeless.length}.`]
      : []),
    ...(apart.length > 0
      ? [
        `No speedup is given where dense kernels and sparse steps were timed in different runs: ${
          apart.join("; ")
        }.`,
      ]
      : []),
    ...(replaced > 0
      ? [`Rows left out, since a later row has the same kernel and case: ${replaced}.`]
      : []),
  ];
}

function tuningSection(
  { device, adapter, driver, replaced, failed, figures }: Tuning,
  rows: readonly ResultRow[],
): Section {
  // A tuner's log does not record that its adapter is software.
  const software = isSoftwareName(adapter) ||
    rows.some((row) => row.software && row.adapter === adapter);
  return {
    heading: `Tuning on ${device}`,
    facts: [
      ["Driver", driver],
      ...replaced.length > 0
        ? [["Older versions of kernels, left out", replaced.join(", ")] as const]
        : [],
      ...failed.length > 0
        ? [["Kernels whose candidates all failed", failed.join(", ")] as const]
        : [],
    ],
    warning: software ? SOFTWARE : null,
    tables: [],
    figures,
  };
}

/** Numbers repeated ids, which occur because long names are cut. */
function withUniqueIds(sections: readonly Section[]): Section[] {
  const taken = new Set<string>();
  const unique = (id: string, count = 1): string => {
    const numbered = count === 1 ? id : `${id}-${count}`;
    if (taken.has(numbered)) return unique(id, count + 1);
    taken.add(numbered);
    return numbered;
  };
  return sections.map((section) => ({
    ...section,
    tables: section.tables.map((table) => ({ ...table, id: unique(table.id) })),
    figures: section.figures.map((figure) => ({ ...figure, id: unique(figure.id) })),
  }));
}

function factsOf(rows: readonly ResultRow[]): [string, string][] {
  const all = (valueOf: (row: ResultRow) => string | number) =>
    [...new Set(rows.map(valueOf))].join("; ");
  // Probes have their own caches.
  const kernels = rows.filter(({ stage }) => stage !== "probe");
  const times = rows.map(({ utc }) => utc).sort();
  const failed = new Set(rows.filter(({ verified }) => !verified).map(({ kernel }) => kernel));
  return [
    ["Device", all(({ adapter }) => adapter)],
    ["Driver", all(({ driver }) => driver)],
    ["Backend", all(({ backend }) => backend)],
    ["Runtime", all(({ runtime }) => runtime)],
    ["Suite", all(({ suite_version, commit }) => `${suite_version}, commit ${commit}`)],
    [
      "Measured",
      `${minute(times[0])} to ${minute(times.at(-1)!)} UTC`,
    ],
    ["Types of K and V", all(({ dtype }) => dtype)],
    ["Codes", all((row) => `${row.bits} bits per ${row.code_sharing}, ${scoreName(row)}`)],
    ["Windows (sink + recent)", all(({ sink, recent }) => `${sink} + ${recent}`)],
    ["Caches", [...new Set(kernels.map(({ cache }) => cache))].join("; ")],
    ["Timer", all(({ timer }) => timer)],
    [
      "Rows",
      `${rows.length}, ${failed.size ? `FAILED: ${[...failed].join(", ")}` : "all verified"}`,
    ],
  ];
}
