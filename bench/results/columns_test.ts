import { assertEquals, assertThrows } from "@std/assert";
import * as v from "valibot";
import { AMOUNT, column, columnNames, COUNT, optionalNames, parseRows } from "./columns.ts";
import { UsageError } from "../base/usage_error.ts";

const ROW = v.strictObject({
  name: column(v.string(), "Any text."),
  tokens: column(COUNT, "Number of tokens."),
  us: column(v.nullable(AMOUNT), "Microseconds."),
  software: column(v.boolean(), "Whether it is software."),
  head: column(v.union([COUNT, v.literal("all")]), "Head, or all of them."),
  cache: column(v.picklist(["cold", "hot"], "takes cold or hot, not"), "State of the cache."),
  timer: v.optional(column(v.picklist(["wall", "timestamp"]), "Clock."), "wall"),
});
const HEADER = "name,tokens,us,software,head,cache,timer";
const parse = (text: string) => parseRows(text, ROW, { path: "r.csv", expected: "expected" });

Deno.test("columnNames() and optionalNames() follow the schema", () => {
  assertEquals(columnNames(ROW).join(), HEADER);
  assertEquals(optionalNames(ROW), ["timer"]);
});

Deno.test("parseRows() reads each kind of column, with defaults for missing fields", () => {
  const first = { name: "a", tokens: 8, us: 1.5, software: true, head: 3, cache: "cold" } as const;
  const second = {
    name: "",
    tokens: 6e9,
    us: null,
    software: false,
    head: "all",
    cache: "hot",
  } as const;
  const lines = ["a,8.0,1.5,TRUE,3,cold,timestamp", ",6e+09,NA,0,all,hot,"];
  assertEquals(parse([HEADER, "", ...lines].join("\n")), [
    { line: 3, row: { ...first, timer: "timestamp" } },
    { line: 4, row: { ...second, timer: "wall" } },
  ]);
  const older = [HEADER, ...lines].map((line) => line.slice(0, line.lastIndexOf(",")));
  assertEquals(parse(older.join("\n")), [
    { line: 2, row: { ...first, timer: "wall" } },
    { line: 3, row: { ...second, timer: "wall" } },
  ]);
});

Deno.test("parseRows() refuses a field that its column does not accept", () => {
  const wrong: Record<string, string> = {
    "a,8.5,1,true,3,cold,": 'tokens cannot be "8.5"',
    "a,,1,true,3,cold,": 'tokens cannot be ""',
    "a,8,-1,true,3,cold,": 'us cannot be "-1"',
    "a,8,1e999,true,3,cold,": 'us cannot be "1e999"',
    "a,8,1,maybe,3,cold,": 'software cannot be "maybe"',
    "a,8,1,true,some,cold,": 'head cannot be "some"',
    "a,8,1,true,3,tepid,": 'cache takes cold or hot, not "tepid"',
    "a,8,1,true,3,cold,sundial": 'timer cannot be "sundial"',
  };
  for (const [line, complaint] of Object.entries(wrong)) {
    const { message } = assertThrows(() => parse(`${HEADER}\n${line}`), UsageError);
    assertEquals(message, `r.csv, line 2: ${complaint}.`);
  }
});
