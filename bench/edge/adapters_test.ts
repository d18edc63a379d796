import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import {
  distinct,
  findAdapters,
  formatAdapters,
  type ListedAdapter,
  pickAdapter,
} from "./adapters.ts";
import { UsageError } from "../base/usage_error.ts";

const FACTS = {
  runtime: "deno 2.9.6",
  vendor: "nvidia",
  driver: "580.1",
  software: false,
  compiler: "naga",
  toggles: "",
  limits: "adapter" as const,
};
const CARD: ListedAdapter = {
  ...FACTS,
  adapter: "NVIDIA H100",
  backend: "vulkan",
  request: "high-performance",
};
const CARD_OVER_GL: ListedAdapter = { ...CARD, backend: "gl" };
const CPU: ListedAdapter = { ...CARD, adapter: "llvmpipe", software: true, request: "fallback" };
const ALL = [CARD, CPU, CARD_OVER_GL];

Deno.test("pickAdapter() picks an adapter by its number or a part of its name", () => {
  assertEquals(pickAdapter(ALL, "1"), CPU);
  assertEquals(pickAdapter(ALL, "LLVM"), CPU);
  // One device on two backends is not ambiguous: the first entry has the usual backend.
  assertEquals(pickAdapter(ALL, "h100"), CARD);
  assertEquals(pickAdapter(ALL, "2"), CARD_OVER_GL);
});

Deno.test("pickAdapter() lists the adapters if the text matches none or several", () => {
  const listed = "0 NVIDIA H100 (vulkan); 1 llvmpipe (vulkan); 2 NVIDIA H100 (gl).";
  const wrong: Record<string, string> = {
    "3": `--adapter 3 is not the number of an adapter: ${listed}`,
    radeon: `--adapter radeon matches no adapter: ${listed}`,
  };
  for (const [text, message] of Object.entries(wrong)) {
    assertThrows(() => pickAdapter(ALL, text), UsageError, message);
  }
  const two = [CARD, { ...CARD, adapter: "NVIDIA H200" }];
  assertThrows(() => pickAdapter(two, "nvidia"), UsageError, "--adapter nvidia matches several");
  assertThrows(() => pickAdapter([], "0"), UsageError, "none was found.");
});

Deno.test("distinct() keeps one entry of the requests that get the same adapter", () => {
  const again = { ...CARD, request: "low-power" } as const;
  assertEquals(distinct([CARD, again, CPU]), [CARD, CPU]);
});

Deno.test("formatAdapters() numbers the adapters, and says when there are none", () => {
  assertMatch(formatAdapters(ALL), /^0 +NVIDIA H100 +hardware +vulkan +high-performance +580\.1$/m);
  assertStringIncludes(formatAdapters([]), "No WebGPU adapter was found.");
});

Deno.test("findAdapters() finds this machine's adapters in child processes", async () => {
  const found = await findAdapters();
  assertEquals(found.length > 0, true);
  assertEquals(found[0].request, "high-performance");
  assertEquals(pickAdapter(found, "0"), found[0]);
});
