import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { readFlags } from "./read_flags.ts";
import { UsageError } from "../base/usage_error.ts";

const SWITCHES = ["hot", "no-tuned"] as const;
const VALUES = ["kv", "out", "tuned"];

const read = (...args: string[]) => readFlags(args, SWITCHES, VALUES);

Deno.test("readFlags() reads switches with and without a value", () => {
  const on = (...args: string[]) => read(...args).switches;
  assertEquals(on(), { hot: false, "no-tuned": false });
  assertEquals(on("--hot", "--no-tuned"), { hot: true, "no-tuned": true });
  assertEquals(on("--hot=true", "--no-tuned=false"), { hot: true, "no-tuned": false });
  assertEquals(on("--hot=false"), { hot: false, "no-tuned": false });
});

Deno.test("readFlags() refuses wrong and ambiguous arguments in one sentence", () => {
  const wrong: [string[], RegExp][] = [
    [["--hot=maybe"], /^--hot takes true or false, or no value, not "maybe"\.$/],
    [["--hot="], /^--hot takes true or false, or no value, not ""\.$/],
    [["--no-tuned=x"], /^--no-tuned takes true or false/],
    [["--no-kv=3"], /^Unknown flag --no-kv;/],
    [["--no-hot"], /^Unknown flag --no-hot;/],
    [["--kv.x", "3"], /^Unknown flag --kv\.x;/],
    [["-x"], /^Unknown flag -x;/],
    [["-5"], /^Unknown flag -5;/],
    [["--kv", ""], /^--kv is given an empty value\.$/],
    [["--kv="], /^--kv is given an empty value\.$/],
    [["--kv"], /^--kv needs a value\.$/],
    [["--kv", "--hot"], /^--kv needs a value\.$/],
    [["--kv", "1", "--kv=2"], /^--kv is given twice\.$/],
    [["kv=1"], /^"kv=1" is not a flag; --help lists the flags\.$/],
    [["--", "--hot"], /^"--hot" is not a flag; --help lists the flags\.$/],
    [[""], /^An argument is empty; --help lists the flags\.$/],
  ];
  for (const [args, message] of wrong) {
    assertMatch(assertThrows(() => read(...args), UsageError).message, message);
  }
});

Deno.test("readFlags() takes a negative number for a value, which its reader can refuse", () => {
  for (const text of ["-5", "-.5", "-1e3"]) {
    assertEquals(read("--kv", text, "--hot").texts.get("kv"), text);
  }
});

Deno.test("readFlags() keeps the order of words among flags, where words are allowed", () => {
  const { words, texts } = readFlags(
    ["b", "--kv", "3", "a", "--", "-c", "1e3"],
    SWITCHES,
    VALUES,
    { words: true },
  );
  assertEquals([words, texts.get("kv")], [["b", "a", "-c", "1e3"], "3"]);
});

Deno.test("readFlags() passes every value through unchanged, after = or a space", () => {
  const text = fc.string({ minLength: 1 });
  fc.assert(fc.property(text, text, (one, other) => {
    const { texts } = read(`--kv=${one}`, `--out=${other}`);
    assertEquals([texts.get("kv"), texts.get("out")], [one, other]);
  }));
  fc.assert(fc.property(text.filter((each) => !each.startsWith("-")), (each) => {
    assertEquals(read("--kv", each, "--hot").texts.get("kv"), each);
  }));
});

Deno.test("readFlags() throws nothing but a UsageError, whatever the command line", () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom("--kv", "--hot", "--no-tuned", "--", "-", "-h", "--out=", "--no-", "--=", "-1"),
    fc.string().map((text) => `--${text}`),
  );
  fc.assert(fc.property(fc.array(part, { maxLength: 6 }), (args) => {
    try {
      read(...args);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
    }
  }));
});
