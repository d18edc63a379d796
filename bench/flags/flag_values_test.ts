import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { decimal, entriesOf, list, tokenCount, wholeNumber } from "./flag_values.ts";
import { UsageError } from "../base/usage_error.ts";

Deno.test("list() keeps one of equal entries, and refuses empty ones", () => {
  assertEquals(list("kv", "1, 2,1"), ["1", "2"]);
  assertEquals(entriesOf("kv", "1, 2,1"), ["1", "2", "1"]);
  assertThrows(() => list("kv", "1,,2"), UsageError, '--kv has an empty entry in "1,,2".');
});

Deno.test("wholeNumber() reads every whole number, and refuses other spellings", () => {
  const most = Number.MAX_SAFE_INTEGER;
  fc.assert(fc.property(fc.nat(most), (value) => {
    assertEquals(wholeNumber(0, most)("seed", String(value)), value);
  }));
  for (const text of ["", " 1", "1.0", "01", "072", "1e3", "-1", "+1", "0x10", "\u0661", "1_000"]) {
    assertThrows(() => wholeNumber(0, most)("seed", text), UsageError, `not "${text}".`);
  }
});

Deno.test("tokenCount() reads K and M, in upper or lower case", () => {
  const read = (text: string) => tokenCount(1, 2 ** 21)("kv", text);
  assertEquals(["8k", "128K", "1m", "2M", "8192"].map(read), [
    8192,
    131072,
    1 << 20,
    1 << 21,
    8192,
  ]);
  fc.assert(fc.property(fc.integer({ min: 1, max: 2048 }), (thousands) => {
    assertEquals(read(`${thousands}K`), 1024 * thousands);
  }));
  for (const text of ["8kk", "k", "8 k", "8kb", "08k", "1.5k", "-8k", "3M", "2049K", "0", ""]) {
    const message = "--kv takes a whole number of tokens from 1 to 2097152, where 8K is 8192, " +
      `not "${text}".`;
    assertThrows(() => read(text), UsageError, message);
  }
});

Deno.test("decimal() refuses numbers outside the bounds, which its message names", () => {
  const read = decimal(0.001, 86_400, "seconds");
  assertEquals([".25", "1e-3", "10", "86400"].map((text) => read("max-time", text)), [
    ...[0.25, 0.001, 10, 86_400],
  ]);
  for (const text of ["1e-9", "0", "-1", "86401", "forever", "", "NaN", "Infinity", "1e999"]) {
    assertThrows(
      () => read("max-time", text),
      UsageError,
      `--max-time takes a number of seconds from 0.001 to 86400, not "${text}".`,
    );
  }
});
