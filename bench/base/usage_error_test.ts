import { assertEquals, assertThrows } from "@std/assert";
import { asUsage, UsageError } from "./usage_error.ts";

const sentence = (message: string) => UsageError.of(new Error(message)).message;

Deno.test("UsageError.of() capitalizes the first word, unless it is a path or a name", () => {
  const sentences: Record<string, string> = {
    "cannot read the trace x": "Cannot read the trace x.",
    "there, it ends.": "There, it ends.",
    "fixtures/maps/a.safetensors: it is no map": "fixtures/maps/a.safetensors: it is no map.",
    "trace: it is no map": "trace: it is no map.",
    "peers.csv, line 7: it has 5 fields": "peers.csv, line 7: it has 5 fields.",
    "a-b c": "a-b c.",
    "qHeads must be 1": "qHeads must be 1.",
    "--shape 1x1x1: head dim must be 64": "--shape 1x1x1: head dim must be 64.",
  };
  for (const [message, expected] of Object.entries(sentences)) {
    assertEquals(sentence(message), expected);
  }
});

Deno.test("asUsage() begins the message with the flag or file", () => {
  const refuse = () => {
    throw new RangeError("head dim must be 64");
  };
  assertThrows(() => asUsage(refuse), UsageError, "Head dim must be 64.");
  assertThrows(() => asUsage(refuse, "a.safetensors"), UsageError, "a.safetensors: head dim must");
});

Deno.test("asUsage() does not turn faults of the code into usage errors", () => {
  const fail = () => {
    throw new TypeError("undefined is not a function");
  };
  assertThrows(() => asUsage(fail, "--shape"), TypeError, "undefined is not a function");
});
