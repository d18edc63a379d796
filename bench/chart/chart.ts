/**
 * Charts as SVG text, drawn by Observable Plot. Plot is maintained, describes a chart as marks over
 * data, and is the lightest such library that we found: Vega-Lite with Vega takes several times as
 * long to install, and every cold start of the suite would pay for that.
 */
import * as Plot from "@observablehq/plot";
import { escapeXml } from "./escape.ts";
import { SvgDocument } from "./svg_document.ts";
import { wrapLabel } from "./wrap.ts";

/** One entry of a legend, with the color and symbol of its series. */
export interface Series {
  readonly label: string;
  readonly color: string;
  readonly symbol: Plot.SymbolType;
  /** The SVG dashes of a series that is drawn as a line without symbols. */
  readonly dashes?: string;
}

/** A chart: the options of Plot, and a title and description for readers who cannot see it. */
export interface Chart {
  readonly title: string;
  readonly description: string;
  readonly options: Plot.PlotOptions;
  /** The legend below the chart; an entry takes one line or more. */
  readonly legend: readonly Series[];
  /** A heading that explains the legend's labels. */
  readonly legendHeading?: string;
}

/** Narrow, so that the text is readable on a phone. */
export const CHART_WIDTH = 440;

const FONT_SIZE = 14;

/** Characters of a label that fit beside its symbol in the legend, even if all are wide. */
const LABEL_CHARACTERS = 46;
/** Characters of a title that fit into one line of a chart's file. */
const TITLE_CHARACTERS = 42;

const LINE_HEIGHT = 20;
/** Room below the frame for ticks and the axis' label. */
export const AXIS_HEIGHT = 46;
/** Room left of the frame. */
export const MARGIN_LEFT = 52;
/** Room right of the frame. */
export const MARGIN_RIGHT = 24;
/** Room above the frame. */
export const MARGIN_TOP = 28;
/** Default height of a chart without its legend. */
export const CHART_HEIGHT = 300;

/** Each has a contrast of at least 3 to 1 with white and with the report's dark background. */
// deno-fmt-ignore
const COLORS = [
  "#3b7dd8", "#d0680a", "#2a9157", "#a45bd6", "#e0485a", "#148e9c", "#a0714f", "#7c858d", "#cf4f9b", "#87801c",
];

/** Seven symbols share no factor with ten colors, so that the first 70 series all differ. */
const SYMBOLS: readonly Plot.SymbolType[] = [
  "circle",
  "square",
  "triangle",
  "diamond",
  "cross",
  "star",
  "wye",
];

/** A series for each label. Symbols distinguish series for readers who cannot tell colors apart. */
export function seriesOf(labels: readonly string[]): Series[] {
  return labels.map((label, i) => ({
    label,
    color: COLORS[i % COLORS.length],
    symbol: SYMBOLS[i % SYMBOLS.length],
  }));
}

/** The scale options that give each series its color and its symbol. */
export function seriesScales(series: readonly Series[]): Plot.PlotOptions {
  const domain = series.map(({ label }) => label);
  return {
    color: { domain, range: series.map(({ color }) => color) },
    symbol: { domain, range: series.map(({ symbol }) => symbol) },
  };
}

/** The chart as one `<svg>` element, with text in `currentColor`, its title and description. */
export function chartSvg(
  { title, description, options, legend, legendHeading }: Chart,
): string {
  const lines = legendLines(legend, legendHeading);
  const legendHeight = lines.length > 0 ? lines.length * LINE_HEIGHT + 8 : 0;
  const marginLeft = options.marginLeft ?? MARGIN_LEFT;
  const svg = Plot.plot({
    marginTop: MARGIN_TOP,
    marginRight: MARGIN_RIGHT,
    ...options,
    marginLeft,
    marginBottom: AXIS_HEIGHT + legendHeight,
    width: CHART_WIDTH,
    height: (options.height ?? CHART_HEIGHT) + legendHeight,
    x: { ...options.x, labelAnchor: "center", labelOffset: AXIS_HEIGHT - 8 },
    className: "chart",
    style: `font-size: ${FONT_SIZE}px; max-width: 100%; height: auto`,
    document: new SvgDocument() as unknown as Plot.PlotOptions["document"],
    marks: [
      ...(options.marks ?? []),
      ...lines.flatMap((line, i) => legendMarks(line, i, marginLeft)),
    ],
  });
  const words = `<title>${escapeXml(title)}</title><desc>${escapeXml(description)}</desc>`;
  return String(svg)
    .replace(/<style>.*?<\/style>/s, "")
    // To a screen reader an image is one element, so its parts must not have names.
    .replace(/ aria-\w+="[^"]*"/g, "")
    .replace(/^<svg [^>]*>/, (tag) => `${tag.replace("<svg ", `<svg role="img" `)}${words}`);
}

/**
 * The chart as an SVG file, below its title, of which each part between colons begins a line. The
 * background is white, since a file cannot know the color of its page.
 */
export function chartFile(chart: Chart): string {
  const svg = chartSvg(chart);
  const parts = chart.title.split(": ");
  const lines = parts.flatMap((part, i) =>
    wrapLabel(part, TITLE_CHARACTERS).map((text) => ({ text, bold: i === 0 }))
  );
  const top = lines.length * LINE_HEIGHT + 12;
  const height = top + Number(svg.match(/ height="(\d+)"/)![1]);
  const title = lines.map(({ text, bold }, i) => {
    const weight = bold ? ` font-weight="bold"` : "";
    return `<text x="10" y="${(i + 1) * LINE_HEIGHT}"${weight}>${escapeXml(text)}</text>`;
  });
  const size = `viewBox="0 0 ${CHART_WIDTH} ${height}" width="${CHART_WIDTH}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} color="#1b1f24" fill="currentColor" ` +
    `font-family="system-ui, sans-serif" font-size="${FONT_SIZE}">` +
    `<rect width="100%" height="100%" fill="white"/>${title.join("")}` +
    `${svg.replace("<svg ", `<svg y="${top}" `).replace("; max-width: 100%; height: auto", "")}` +
    "</svg>\n";
}

/** A line of a legend; the first line of a series has its symbol. */
interface LegendLine {
  readonly text: string;
  readonly series: Series | null;
  /** Whether the text begins where other lines have their symbols. */
  readonly outdented: boolean;
}

function legendLines(legend: readonly Series[], heading: string | undefined): LegendLine[] {
  const headings = heading === undefined ? [] : wrapLabel(heading, LABEL_CHARACTERS);
  return [
    ...headings.map((text) => ({ text, series: null, outdented: true })),
    ...legend.flatMap((series) =>
      wrapLabel(series.label, LABEL_CHARACTERS).map((text, i) => (
        { text, series: i === 0 ? series : null, outdented: false }
      ))
    ),
  ];
}

/** The marks of a line of the legend. Plot's own legends are HTML, which SVG files cannot hold. */
function legendMarks(
  { text, series, outdented }: LegendLine,
  line: number,
  marginLeft: number,
): Plot.Markish[] {
  const place = {
    frameAnchor: "bottom-left",
    facet: "super",
    dx: 20 - marginLeft,
    dy: AXIS_HEIGHT + 10 + line * LINE_HEIGHT,
  } as const;
  const words: Plot.TextOptions = {
    ...place,
    dx: place.dx + (outdented ? -8 : 16),
    textAnchor: "start",
    lineAnchor: "middle",
  };
  return [...(series === null ? [] : [legendSign(series, place)]), Plot.text([text], words)];
}

function legendSign(
  { color, symbol, dashes }: Series,
  place: Plot.MarkOptions & { readonly frameAnchor: "bottom-left" },
): Plot.Markish {
  if (dashes === undefined) {
    return Plot.dot([0], { ...place, symbol, fill: color, stroke: color, r: 5 });
  }
  return Plot.vector([0], {
    ...place,
    anchor: "middle",
    rotate: 90,
    length: 20,
    shape: LINE_SHAPE,
    stroke: color,
    strokeDasharray: dashes,
  });
}

/** Plot's arrow without its head. */
const LINE_SHAPE: Plot.VectorShapeImplementation = {
  draw(path, length) {
    path.moveTo(0, 0);
    path.lineTo(0, -length);
  },
};
