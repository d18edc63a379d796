import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import type { FlagTable } from "./flag_table.ts";
import { asWritten, listOf, oneOf, wholeNumber } from "./flag_values.ts";
import { parseFlags } from "./parse_flags.ts";

const TABLE = {
  sections: {
    One: {
      kv: { value: "N,..", default: "2,1", read: listOf(wholeNumber(1, 9)), help: "lengths" },
      hot: { help: "hot", contradicts: ["cold"] },
      cold: { help: "cold" },
    },
    Two: {
      trace: { value: "FILE,..", required: true, read: asWritten, help: "a trace" },
      map: {
        value: "FILE",
        read: asWritten,
        help: "its map",
        needs: { kv: "the --kv of the map" },
      },
      kind: { value: "KIND", read: oneOf("a", "b"), help: "a or b" },
    },
  },
} as const satisfies FlagTable;

const parse = (...args: string[]) => parseFlags(TABLE, ["--trace", "t", ...args]);

Deno.test("parseFlags() parses defaults like given values", () => {
  const { values, given, texts } = parse("--hot");
  assertEquals(values, { kv: [2, 1], hot: true, cold: false, trace: "t", map: null, kind: null });
  assertEquals([...given], ["hot", "trace"]);
  assertEquals([...texts], [["trace", "t"]]);
  assertEquals(parse("--kv", "3,3", "--kind=b", "--hot=false").values, {
    kv: [3],
    hot: false,
    cold: false,
    trace: "t",
    map: null,
    kind: "b",
  });
});

Deno.test("parseFlags() gives values the types of their readers", () => {
  const { values } = parse();
  const kv: readonly number[] = values.kv;
  const kind: "a" | "b" | null = values.kind;
  const hot: boolean = values.hot;
  // @ts-expect-error: a flag without a default may be null.
  const map: string = values.map;
  assertEquals([kv, kind, hot, map], [[2, 1], null, false, null]);
});

Deno.test("parseFlags() refuses flags that contradict the table, in one sentence", () => {
  const wrong: [string[], string][] = [
    [["--hot", "--cold"], "--cold and --hot contradict each other."],
    [["--cold", "--hot"], "--cold and --hot contradict each other."],
    [["--map", "m"], "--map needs the --kv of the map."],
    [["--kv", "10"], '--kv takes a whole number from 1 to 9, not "10".'],
    [["--kind", "c"], '--kind takes one of a, b, not "c".'],
    [["word"], '"word" is not a flag; --help lists the flags.'],
    [["--frob"], "Unknown flag --frob; --help lists the flags."],
  ];
  for (const [args, message] of wrong) {
    assertEquals(assertThrows(() => parse(...args), UsageError).message, message);
  }
  // A switch that is off contradicts nothing.
  assertEquals(parse("--hot", "--cold=false").values.hot, true);
});

Deno.test("parseFlags() refuses a command line without a required flag", () => {
  const error = assertThrows(() => parseFlags(TABLE, []), UsageError);
  assertEquals(error.message, "--trace FILE is needed; --help lists the flags.");
});

Deno.test("parseFlags() refuses a flag beside one that stands alone", () => {
  const table = {
    sections: { All: { list: { help: "list", alone: true }, hot: { help: "hot" } } },
  };
  const parse = (...args: string[]) => parseFlags(table as FlagTable, args);
  assertEquals(parse("--list").values.list, true);
  const error = assertThrows(() => parse("--hot", "--list"), UsageError);
  assertEquals(error.message, "--list stands alone: --hot would change nothing.");
});

Deno.test("parseFlags() takes words if the table describes them", () => {
  const table: FlagTable = { words: ["FILE", "files"], sections: TABLE.sections };
  assertEquals(parseFlags(table, ["b", "--trace", "t", "a"]).words, ["b", "a"]);
});
