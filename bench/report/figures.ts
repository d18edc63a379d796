/** All figures of a report, in sections: for each device, for its tuning, and for quality. Pure. */
import type { PeerTime } from "../peers.ts";
import type { QualityRow } from "../quality/rows.ts";
import type { ResultRow } from "../row.ts";
import { arithmeticRooflineFigures } from "./arithmetic_roofline.ts";
import { type Figure, idOf } from "./figure.ts";
import { qualityFigures } from "./quality.ts";
import { rooflineFigures } from "./roofline.ts";
import { speedupFigures } from "./speedup.ts";
import { stageFigures } from "./stages.ts";
import type { LogLine } from "../tune/log.ts";
import { type Tuning, tunings } from "./tuning.ts";
import { type GpuPlan, verdicts } from "../verdict.ts";

/** What a report is made of. */
export interface ReportData {
  readonly rows: readonly ResultRow[];
  /** Times of other software, by adapter. */
  readonly peers: ReadonlyMap<string, readonly PeerTime[]>;
  readonly quality: readonly QualityRow[];
  /** Lines of tuners' logs. */
  readonly tuning: readonly LogLine[];
  /** What would tell on a GPU what a software adapter's rows do not; quickstart where not given. */
  readonly plan?: GpuPlan;
}

/** Figures that belong together. */
export interface Section {
  readonly heading: string;
  /** Facts about what was measured, as names and values. */
  readonly facts: readonly (readonly [string, string])[];
  /** What a reader must know first; null for nothing. */
  readonly warning: string | null;
  /** Sentences on whether sparse attention is faster, which stand on top of the page. */
  readonly verdicts?: readonly string[];
  readonly figures: readonly Figure[];
}

const SOFTWARE = "A software adapter's times say nothing about a GPU.";

/** The sections of a report. Ids of figures are unique over all of them. */
export function sectionsOf({ rows, peers, quality, tuning, plan }: ReportData): Section[] {
  const devices = [...Map.groupBy(rows, (row) => `${row.adapter}, ${row.backend}`)];
  const sections = devices.map(([device, rows]): Section => {
    const figures = [
      ...speedupFigures(rows, peers.get(rows[0].adapter) ?? []),
      ...stageFigures(rows),
      ...rooflineFigures(rows),
      ...arithmeticRooflineFigures(rows),
    ];
    const prefix = devices.length > 1 ? `${idOf(device)}-` : "";
    return {
      heading: device,
      facts: factsOf(rows),
      warning: rows.some(({ software }) => software) ? SOFTWARE : null,
      verdicts: verdicts(rows, plan),
      figures: figures.map((figure) => ({ ...figure, id: prefix + figure.id })),
    };
  });
  sections.push(...tunings(tuning).map((of) => tuningSection(of, rows)));
  const figures = qualityFigures(quality);
  if (figures.length > 0) {
    sections.push({ heading: "Quality against budget", facts: [], warning: null, figures });
  }
  return withUniqueIds(sections);
}

/** Names of software adapters, whose logs do not say that they are. */
const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|basic render/i;

function tuningSection(
  { device, adapter, driver, failed, figures }: Tuning,
  rows: readonly ResultRow[],
): Section {
  const software = SOFTWARE_NAMES.test(adapter) ||
    rows.some((row) => row.software && row.adapter === adapter);
  return {
    heading: `Tuning on ${device}`,
    facts: [
      ["Driver", driver],
      ...failed.length > 0
        ? [["Kernels without a right candidate", failed.join(", ")] as const]
        : [],
    ],
    warning: software ? SOFTWARE : null,
    figures,
  };
}

/** Ids cut from long names may agree: the later ones are numbered. */
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
    figures: section.figures.map((figure) => ({ ...figure, id: unique(figure.id) })),
  }));
}

function factsOf(rows: readonly ResultRow[]): [string, string][] {
  const all = (tell: (row: ResultRow) => string | number) =>
    [...new Set(rows.map(tell))].join("; ");
  // Probes have settings of their own.
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
    ["Codes", all((row) => `${row.bits} bits per ${row.code_sharing}, ${row.map}`)],
    ["Windows (sink + recent)", all(({ sink, recent }) => `${sink} + ${recent}`)],
    ["Caches", [...new Set(kernels.map(({ cache }) => cache))].join("; ")],
    ["Timer", all(({ timer }) => timer)],
    [
      "Rows",
      `${rows.length}, ${failed.size ? `FAILED: ${[...failed].join(", ")}` : "all verified"}`,
    ],
  ];
}

function minute(utc: string): string {
  return utc.slice(0, 16).replace("T", " ");
}
