/**
 * Charts as SVG text, drawn by Observable Plot. It is kept, states a chart as marks over data, and
 * is the lightest such library found: Vega-Lite with Vega takes several times as long to install,
 * which every cold start of the suite would pay.
 */
import * as Plot from "@observablehq/plot";
import { escapeXml } from "./escape.ts";
import { SvgDocument } from "./svg_document.ts";
import { wrapLabel } from "./wrap.ts";

/** One entry of a legend, and how its series is drawn. */
export interface Series {
  readonly label: string;
  readonly color: string;
  readonly symbol: Plot.SymbolType;
  /** Dashes of a series that is a line without symbols, as SVG has them. */
  readonly dashes?: string;
}

/** A chart: what Plot is told, and the words for those who do not see it. */
export interface Chart {
  readonly title: string;
  readonly description: string;
  readonly options: Plot.PlotOptions;
  /** Legend, below the chart, a line or more for each. */
  readonly legend: readonly Series[];
  /** What the legend's labels are. */
  readonly legendHeading?: string;
}

/** Narrow, so that a phone shows the letters at a size that can be read. */
export const CHART_WIDTH = 440;

const FONT_SIZE = 14;

/** Characters of a label that fit beside the sign of a legend, in wide letters too. */
const LABEL_CHARACTERS = 46;
/** Characters of a title that fit into a file of a chart. */
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
/** Height of a chart without its legend, unless its options say another. */
export const CHART_HEIGHT = 300;

/** At least 3 to 1 against white and against the report's dark background. */
// deno-fmt-ignore
const COLORS = [
  "#3b7dd8", "#d0680a", "#2a9157", "#a45bd6", "#e0485a", "#148e9c", "#a0714f", "#7c858d", "#cf4f9b", "#87801c",
];

/** More than colours can tell apart, so that no two series have both alike. */
const SYMBOLS: readonly Plot.SymbolType[] = [
  "circle",
  "square",
  "triangle",
  "diamond",
  "cross",
  "star",
  "wye",
];

/** A series for each label: colours by turn, and symbols so that colour is not all that tells. */
export function seriesOf(labels: readonly string[]): Series[] {
  return labels.map((label, i) => ({
    label,
    color: COLORS[i % COLORS.length],
    symbol: SYMBOLS[i % SYMBOLS.length],
  }));
}

/** The scale options that give each series its colour and its symbol. */
export function seriesScales(series: readonly Series[]): Plot.PlotOptions {
  const domain = series.map(({ label }) => label);
  return {
    color: { domain, range: series.map(({ color }) => color) },
    symbol: { domain, range: series.map(({ symbol }) => symbol) },
  };
}

/** The chart as one `<svg>` element: text in `currentColor`, title and description within. */
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
    // An image is one thing to a screen reader: its parts may not have names.
    .replace(/ aria-\w+="[^"]*"/g, "")
    .replace(/^<svg [^>]*>/, (tag) => `${tag.replace("<svg ", `<svg role="img" `)}${words}`);
}

/**
 * The chart as an SVG file: below its title, a line for each part between colons, and on a light
 * card, since a file cannot know what lies behind it.
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

/** A line of a legend: the first one of a series has its sign. */
interface LegendLine {
  readonly text: string;
  readonly series: Series | null;
  /** Whether the text stands where other lines have their signs. */
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

/** The marks of a line of the legend: Plot's own are HTML, which a file of SVG cannot hold. */
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
