/** Joins charts in one file. */

/** Stacks SVG files into one SVG file. */
export function stackFiles(files: readonly string[]): string {
  const heights = files.map((file) => Number(file.match(/ height="(\d+)"/)![1]));
  const width = Number(files[0]?.match(/ width="(\d+)"/)?.[1] ?? 0);
  const tops = heights.map((_, i) => heights.slice(0, i).reduce((a, b) => a + b, 0));
  const height = heights.reduce((a, b) => a + b, 0);
  const nested = files.map((file, i) => file.replace("<svg ", `<svg y="${tops[i]}" `));
  const head = `xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"`;
  return `<svg ${head} width="${width}" height="${height}">\n${nested.join("")}</svg>\n`;
}
