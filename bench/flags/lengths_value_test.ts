import { assert, assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { tokenCount } from "./flag_values.ts";
import { sequenceLengths } from "./lengths_value.ts";

const read = (text: string) => sequenceLengths(tokenCount(1, 131072))("lengths", text);

Deno.test("sequenceLengths() reads a list as it stands", () => {
  assertEquals(read("8K,500,8K"), [8192, 500, 8192]);
});

Deno.test("sequenceLengths() draws lengths whose logarithms are uniform", () => {
  const lengths = read("loguniform:1K:128K:2000");
  assertEquals([lengths.length, lengths.toSorted((a, b) => b - a)], [2000, lengths]);
  assert(lengths.every((length) => length >= 1024 && length <= 131072));
  // Half of them lie below the geometric mean of the bounds.
  const below = lengths.filter((length) => length < Math.sqrt(1024 * 131072)).length;
  assert(Math.abs(below - 1000) < 120, `${below}`);
  assertEquals(read("loguniform:1K:128K:2000"), lengths);
  assertEquals(read("loguniform:1K:128K:2000:1"), lengths);
  assert(read("loguniform:1K:128K:2000:2").join() !== lengths.join());
  assertEquals(read("loguniform:7:7:3"), [7, 7, 7]);
});

Deno.test("sequenceLengths() refuses other distributions in one sentence", () => {
  const refused: Readonly<Record<string, RegExp>> = {
    "loguniform:1K": /takes loguniform:LOW:HIGH:COUNT or loguniform/,
    "loguniform:1:2:3:4:5": /takes loguniform:LOW:HIGH:COUNT or loguniform/,
    "loguniform:2K:1K:3": /has LOW above HIGH/,
    "loguniform:1K:2K:0": /takes a whole number from 1 to 65535, not "0"/,
    "loguniform:0:2K:3": /takes a whole number of tokens from 1/,
    "loguniform:1K:2K:3:x": /takes a whole number from 0/,
    "normal:1K:2K:3": /takes a whole number of tokens/,
  };
  for (const [text, message] of Object.entries(refused)) {
    const { message: found } = assertThrows(() => read(text), UsageError);
    assert(message.test(found), `${text}: ${found}`);
  }
});
