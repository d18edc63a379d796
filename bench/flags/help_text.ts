/** Formats the text of `--help` from a command's flag table. */
import { wrapText } from "../tables/text_table.ts";
import type { Command, Flag, Flags, Note, Term } from "./flag_table.ts";

/** The maximum width of a help text, in columns. */
const WIDTH = 100;

/** Below this width explanations go under their terms, not beside them. */
const NARROW = 60;

/** The last column at which explanations may begin; a longer term gets its own line. */
const FARTHEST_COLUMN = 30;

/** Flags that every command answers before it parses the others. */
const COMMON_FLAGS: Flags = {
  version: { help: "print the version, commit and runtime" },
  help: { help: "print this text" },
};

/**
 * The text of `--help`.
 *
 * @param terminal Columns of the terminal; undefined without one.
 */
export function helpText(command: Command, terminal: number = WIDTH): string {
  const width = Math.min(terminal, WIDTH);
  const sections = flagSections(command);
  const column = columnFor(sections.flatMap(({ terms }) => terms), width);
  const paragraphs = [command.purpose, `Usage: ${command.usage}`, command.about]
    .filter((text) => text !== undefined);
  return [
    ...paragraphs.map((text) => wrapText(text, width).join("\n")),
    ...sections.map(({ heading, terms }) =>
      [heading, ...termLines(terms, column, width)].join("\n")
    ),
    ...command.notes.map((note) => noteLines(note, width).join("\n")),
  ].join("\n\n");
}

/** The sections of flags as terms; the common flags end the last one. */
function flagSections({ words, sections }: Command): { heading: string; terms: Term[] }[] {
  const named = Object.entries(sections).map(([heading, flags]) => ({
    heading,
    terms: Object.entries(flags).map(flagTerm),
  }));
  if (words !== undefined) named[0].terms.unshift(words);
  named.at(-1)!.terms.push(...Object.entries(COMMON_FLAGS).map(flagTerm));
  return named;
}

function flagTerm([name, flag]: [string, Flag]): Term {
  const term = flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`;
  const more = flag.more === undefined ? "" : `; ${flag.more}`;
  return [term, `${flag.help}${defaultText(flag)}${more}`];
}

function defaultText(flag: Flag): string {
  if (flag.read === undefined) return "";
  if (flag.default !== undefined) return ` (default ${flag.default})`;
  return flag.defaultNote === undefined ? "" : ` (default: ${flag.defaultNote})`;
}

function noteLines(note: Note, width: number): string[] {
  if (typeof note === "string") return wrapText(note, width);
  const { heading, about, terms } = note;
  return [
    heading,
    ...(about === undefined ? [] : wrapText(about, width)),
    ...termLines(terms, columnFor(terms, width), width),
  ];
}

/** The column at which the explanations of the terms begin. */
function columnFor(terms: readonly Term[], width: number): number {
  if (width < NARROW) return 6;
  return Math.min(FARTHEST_COLUMN, 4 + Math.max(...terms.map(([term]) => term.length)));
}

function termLines(terms: readonly Term[], column: number, width: number): string[] {
  return terms.flatMap(([term, explanation]) => {
    const head = `  ${term}`;
    const lines = wrapText(" ".repeat(column) + explanation, width);
    if (head.length + 2 > column) return [head, ...lines];
    return [head.padEnd(column) + lines[0].slice(column), ...lines.slice(1)];
  });
}
