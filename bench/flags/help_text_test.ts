import { assert, assertEquals } from "@std/assert";
import type { Command } from "./flag_table.ts";
import { asWritten, wholeNumber } from "./flag_values.ts";
import { helpText } from "./help_text.ts";

const COMMAND = {
  purpose: "Does a thing.",
  usage: "deno task thing FILE [flags]",
  about: "About it.",
  words: ["FILE", "a file"],
  sections: {
    "One thing": {
      n: { value: "N", default: "7", read: wholeNumber(1, 9), help: "how many", more: "not ten" },
    },
    "Another thing": {
      out: { value: "DIR", defaultNote: "none", read: asWritten, help: "where it goes" },
      hot: { help: "with words enough that they do not fit beside it ".repeat(2).trim() },
    },
  },
  notes: [
    "A note.",
    { heading: "Terms", about: "They are:", terms: [["a", "first"], ["long one", "second"]] },
  ],
} as const satisfies Command;

Deno.test("helpText() lists the flags with their defaults, and the common flags last", () => {
  assertEquals(
    helpText(COMMAND, 80),
    `\
Does a thing.

Usage: deno task thing FILE [flags]

About it.

One thing
  FILE       a file
  --n N      how many (default 7); not ten

Another thing
  --out DIR  where it goes (default: none)
  --hot      with words enough that they do not fit beside it with words enough
             that they do not fit beside it
  --version  print the version, commit and runtime
  --help     print this text

A note.

Terms
They are:
  a         first
  long one  second`,
  );
});

Deno.test("helpText() fits the terminal and 100 columns", () => {
  for (const width of [30, 59, 60, 99, 100, 1000]) {
    const lines = helpText(COMMAND, width).split("\n");
    const longest = Math.max(...lines.map((line) => line.length));
    assert(longest <= Math.min(width, 100), `${longest} columns of ${width}`);
  }
  assertEquals(helpText(COMMAND), helpText(COMMAND, 1000));
});

Deno.test("helpText() puts explanations below their terms on a narrow terminal", () => {
  assert(helpText(COMMAND, 40).includes("\n  --n N\n      how many (default 7); not ten\n"));
});

Deno.test("helpText() puts a term that is too long on its own line", () => {
  const terms = [["a".repeat(40), "long"], ["b", "short"]] as const;
  const text = helpText({ ...COMMAND, notes: [{ heading: "Terms", terms }] });
  const column = " ".repeat(30);
  assert(text.endsWith(`\n  ${"a".repeat(40)}\n${column}long\n  b${column.slice(3)}short`), text);
});
