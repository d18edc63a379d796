import { assertEquals } from "@std/assert";
import type { ResultRow } from "../results/row.ts";
import { makeRow } from "../../testing/row.ts";
import { layoutName, lineNames, scoreName, sharedSettings } from "./case_names.ts";

const LINEAR = { map: "linear-f16", score: "weighted", planes: 1 } as const;
const ROTATED = { bits: 128, code_sharing: "kv", map: "rotation", score: "rotated" } as const;

Deno.test("scoreName() is the map, and tells a score or a rule for ties that are not the paper's", () => {
  const named: [string, Partial<ResultRow>][] = [
    ["mlp3x128-f16", {}],
    ["mlp3x128-f16", { score: "hamming", planes: 0, ties: "lower" }],
    ["mlp3x128-f16, ties to higher indices", { score: "hamming", planes: 0, ties: "higher" }],
    ["linear-f16 weighted, 1 plane", LINEAR],
    ["rotated, 2 planes", { ...ROTATED, planes: 2, ties: "lower" }],
    ["rotated, 0 planes, ties to higher indices", { ...ROTATED, planes: 0, ties: "higher" }],
    ["rotated, 256 bins, 3 planes", { ...ROTATED, map: "rotation-256bins", planes: 3 }],
    ["rotated, centred keys, 16 bins, 2 planes", {
      ...ROTATED,
      map: "rotation-centred-16bins",
      planes: 2,
    }],
    ["rotated, 64 bins up to 4, 3 planes", { ...ROTATED, map: "rotation-64bins-to4", planes: 3 }],
  ];
  for (const [name, changes] of named) assertEquals(scoreName(makeRow(changes)), name);
});

Deno.test("lineNames() tells cases of other scores and sharing apart, sharedSettings() names them", () => {
  const row = (case_id: string, changes: Partial<ResultRow>) => makeRow({ case_id, ...changes });
  const rows = [
    row("a-s32-w0", {}),
    row("b-s32-w0", { score: "hamming", planes: 0, ties: "lower" }),
    row("c-s32-w0", { ...ROTATED, planes: 2 }),
    row("d-s32-w0", { ...LINEAR, code_sharing: "kv" }),
    row("e-s32-w0", { ...LINEAR, code_sharing: "group" }),
  ];
  assertEquals([...lineNames(rows).values()], [
    "32x8x128, 32 bits per query head, mlp3x128-f16",
    "32x8x128, 32 bits per query head, mlp3x128-f16",
    "32x8x128, 128 bits per KV head, selections per query head, rotated, 2 planes",
    "32x8x128, 32 bits per KV head, selections per query head, linear-f16 weighted, 1 plane",
    "32x8x128, 32 bits per KV head, linear-f16 weighted, 1 plane",
  ]);
  assertEquals(
    sharedSettings(rows.slice(2, 3)),
    "f16, 128 bits per KV head, selections per query head, rotated, 2 planes, k = N/32, " +
      "windows of 128 + 128, cold cache",
  );
});

Deno.test("layoutName() is empty for the usual cache", () => {
  const name = (changes: Partial<ResultRow>) => layoutName(makeRow(changes));
  assertEquals(name({}), "");
  assertEquals(name({ layout: "bnhd" }), "bnhd");
  assertEquals(name({ page_tokens: 16 }), "bhnd in pages of 16");
  assertEquals(name({ layout: "strided", page_tokens: 64 }), "strided in pages of 64");
});

Deno.test("lineNames() leaves out what most cases have, and names errors that are known", () => {
  const row = (case_id: string, trace_error: number | null) => makeRow({ case_id, trace_error });
  const rows = [row("a-s32-w0", 0.185346), row("b-s32-w0", null), row("c-s160-w0", 0.0584927)];
  assertEquals([...lineNames(rows).values()], [
    "32x8x128, error 0.19",
    "32x8x128",
    "32x8x128, k = N/160, error 0.058",
  ]);
  // Another run of the first case does not know its error.
  assertEquals([...lineNames([...rows, row("a-s32-w0", null)]).values()], [
    "32x8x128, error 0.19",
    "32x8x128",
    "32x8x128, k = N/160, error 0.058",
  ]);
});
