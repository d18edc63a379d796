import { assertEquals } from "@std/assert";
import { evaluateConst } from "./const_expression.ts";

const NAMES = new Map([["LANES", 16], ["DTYPE", 1]]);

const VALUES: readonly (readonly [string, number])[] = [
  ["7u", 7],
  ["LANES", 16],
  ["2u + 3u * 4u", 14],
  ["(2u + 3u) * 4u", 20],
  ["20u - 5u - 3u", 12],
  ["7u / 2u", 3],
  ["17u % 5u * 2u", 4],
  ["4u + 4u * u32(DTYPE != 0u)", 8],
  ["u32(LANES == 16u) + u32(LANES < 16u)", 1],
  ["u32(3u <= 3u) + u32(3u >= 4u) + u32(2u > 1u)", 2],
  ["max(LANES, 3u, 40u) - min(9u, LANES)", 31],
  ["  ( LANES )  ", 16],
  ["LANES << 1u", 32],
  ["LANES >> DTYPE", 8],
  ["1u << (DTYPE + 2u)", 8],
  ["32u - countLeadingZeros(LANES)", 5],
  ["firstTrailingBit(LANES) + firstTrailingBit(1u)", 4],
];

for (const [text, value] of VALUES) {
  Deno.test(`evaluateConst() of ${text} is ${value}`, () => {
    assertEquals(evaluateConst(text, NAMES), value);
  });
}

const NO_VALUE = [
  "",
  "UNKNOWN",
  "1.5",
  "-1e30",
  "1u - 2u",
  "1u / 0u",
  "1u +",
  "(1u",
  "1u)",
  "1u 2u",
  "UNKNOWN == 1u",
  "sqrt(4u)",
  "max",
  "max(1u, 2u",
  "1u; 2u",
];

for (const text of NO_VALUE) {
  Deno.test(`evaluateConst() finds no value for "${text}"`, () => {
    assertEquals(evaluateConst(text, NAMES), undefined);
  });
}
