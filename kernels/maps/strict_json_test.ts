import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DuplicateNameError, parseStrictJson } from "./strict_json.ts";

Deno.test("parseStrictJson() refuses duplicate names, even in different spellings", () => {
  const texts = [
    '{"a":1,"a":2}',
    '{"a" : 1 , "\\u0061"\n: 2}',
    '[{"b":[{"a":{},"c":1,"a":[]}]}]',
    '{"x\\"":1,"x\\"":1}',
    '{"":1,"":1}',
    '{"__proto__":1,"__proto__":2}',
  ];
  for (const text of texts) {
    assertThrows(() => parseStrictJson(text), DuplicateNameError, "occurs twice", text);
  }
  const error = assertThrows(() => parseStrictJson('{"\\u0061":1,"a":2}'), DuplicateNameError);
  assertEquals(error.duplicate, "a");
});

Deno.test("parseStrictJson() accepts equal names in different objects, and equal values", () => {
  const texts = [
    '{"a":{"a":1},"b":{"a":2}}',
    '[{"a":1},{"a":2},"a","a"]',
    '{"a":"a","b":["a","a"]}',
    '{"a":"}{\\"a\\":1,\\\\","b":"{"}',
    '"a"',
  ];
  for (const text of texts) assertEquals(parseStrictJson(text), JSON.parse(text));
  assertThrows(() => parseStrictJson("{"), SyntaxError);
});

Deno.test("property: parseStrictJson() agrees with JSON.parse", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    assertEquals(parseStrictJson(text), JSON.parse(text));
  }));
});
