/**
 * Charts as SVG text, drawn by Observable Plot. It is kept, states a chart as marks over data, and
 * is the lightest such library found: Vega-Lite with Vega takes several times as long to install,
 * which every cold start of the suite would pay.
 */
import * as Plot from "@observablehq/plot";
import { escapeXml } from "./escape.ts";
import { SvgDocument } from "./svg_document.ts";

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
  /** Legend, below the chart, a line for each. */
  readonly legend: readonly Series[];
}

/** Narrow, so that a phone shows the letters at a size that can be read. */
export const CHART_WIDTH = 440;

const FONT_SIZE = 14;

/** Text options that cut a line short where it would leave the chart; in ems. */
export const FITTING: Plot.TextOptions = { lineWidth: 28, textOverflow: "ellipsis" };

const LINE_HEIGHT = 20;
const AXIS_HEIGHT = 46;
const MARGIN_LEFT = 52;

/** At least 3 to 1 against white and against the report's dark background. */
// deno-fmt-ignore
const COLORS = [
  "#3b7dd8", "#d0680a", "#2a9157", "#a45bd6", "#e0485a", "#148e9c", "#a0714f", "#7c858d", "#cf4f9b", "#87801c",
];

const SYMBOLS: readonly Plot.SymbolType[] = ["circle", "square", "triangle", "diamond", "cross"];

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
export function chartSvg({ title, description, options, legend }: Chart): string {
  const legendHeight = legend.length > 0 ? legend.length * LINE_HEIGHT + 8 : 0;
  const marginLeft = options.marginLeft ?? MARGIN_LEFT;
  const svg = Plot.plot({
    ...{ marginTop: 28, marginRight: 24 },
    ...options,
    ...{ marginLeft, marginBottom: AXIS_HEIGHT + legendHeight },
    width: CHART_WIDTH,
    height: (options.height ?? 300) + legendHeight,
    x: { ...options.x, labelAnchor: "center", labelOffset: AXIS_HEIGHT - 8 },
    className: "chart",
    style: `font-size: ${FONT_SIZE}px; max-width: 100%; height: auto`,
    document: new SvgDocument() as unknown as Plot.PlotOptions["document"],
    marks: [
      ...(options.marks ?? []),
      ...legend.flatMap((series, line) => legendMarks(series, line, marginLeft)),
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
  const lines = chart.title.split(": ");
  const top = lines.length * LINE_HEIGHT + 12;
  const height = top + Number(svg.match(/ height="(\d+)"/)![1]);
  const title = lines.map((line, i) => {
    const weight = i === 0 ? ` font-weight="bold"` : "";
    return `<text x="10" y="${(i + 1) * LINE_HEIGHT}"${weight}>${escapeXml(line)}</text>`;
  });
  const size = `viewBox="0 0 ${CHART_WIDTH} ${height}" width="${CHART_WIDTH}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} color="#1b1f24" fill="currentColor" ` +
    `font-family="system-ui, sans-serif" font-size="${FONT_SIZE}">` +
    `<rect width="100%" height="100%" fill="white"/>${title.join("")}` +
    `${svg.replace("<svg ", `<svg y="${top}" `).replace("; max-width: 100%; height: auto", "")}` +
    "</svg>\n";
}

/** A line of the legend: Plot's own are HTML, which a file of SVG cannot hold. */
function legendMarks(
  { label, color, symbol, dashes }: Series,
  line: number,
  marginLeft: number,
): Plot.Markish[] {
  const place = {
    ...{ frameAnchor: "bottom-left", facet: "super" } as const,
    ...{ dx: 20 - marginLeft, dy: AXIS_HEIGHT + 10 + line * LINE_HEIGHT },
  };
  const sign = dashes === undefined
    ? Plot.dot([0], { ...place, symbol, fill: color, stroke: color, r: 5 })
    : Plot.vector([0], {
      ...{ ...place, anchor: "middle", rotate: 90, length: 20, shape: LINE_SHAPE },
      ...{ stroke: color, strokeDasharray: dashes },
    });
  const words: Plot.TextOptions = {
    ...{ ...place, ...FITTING, dx: place.dx + 16 },
    ...{ textAnchor: "start", lineAnchor: "middle" },
  };
  return [sign, Plot.text([label], words)];
}

/** Plot's arrow without its head. */
const LINE_SHAPE: Plot.VectorShapeImplementation = {
  draw(path, length) {
    path.moveTo(0, 0);
    path.lineTo(0, -length);
  },
};
