/** Breaks labels into lines, since a label that is cut short may be ambiguous. */

/**
 * Lines of at most `width` characters, broken at spaces; a longer word is broken anywhere.
 */
export function wrapLabel(text: string, width: number): string[] {
  const words = text.split(/\s+/).flatMap((word) => pieces(word, width)).filter(Boolean);
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines.length > 0 ? lines : [""];
}

function pieces(word: string, width: number): string[] {
  const count = Math.ceil(word.length / width);
  return Array.from({ length: count }, (_, i) => word.slice(i * width, (i + 1) * width));
}
