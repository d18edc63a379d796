import { assertEquals } from "@std/assert";
import { findVariant } from "../../kernels/core/registry.ts";
import {
  type Conditions,
  keptProbes,
  sameConditions,
  splitReusable,
  type Wanted,
} from "./kept_rows.ts";
import { latestRows, type ResultRow } from "../results/row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";

const { runtime, adapter, vendor, driver, backend, software, case_id: caseId } = makeRow();
const CONDITIONS: Conditions = {
  facts: { runtime, adapter, vendor, driver, backend, software },
  inputBytes: 6e9,
  timer: { kind: "timestamp" },
  settings: { hot: false, seed: 1 },
};

const wanted = (...names: string[]): Wanted[] =>
  names.map((name) => ({ variant: findVariant(name), params: { LANES: 8 } }));

function row(kernel: string, us: number, changes: Partial<ResultRow> = {}): ResultRow {
  const { stage } = findVariant(kernel);
  const speedup = stage === "dense" || stage === "pipeline" ? 100 / us : null;
  const params = '{"LANES":8}';
  return makeRow({ kernel, stage, params, median_us: us, speedup_vs_dense: speedup, ...changes });
}

const ALL = [row("dense/split", 100), row("pipeline/sparse", 30), row("merge/merge", 5)];

function parted(rows: readonly ResultRow[], ...names: string[]) {
  const { kept, missing } = splitReusable(rows, wanted(...names));
  return [kept.map(({ kernel }) => kernel), missing.map(({ variant }) => variant.name)];
}

Deno.test("rows that were measured under other conditions do not stand", () => {
  const stands = (changes: Partial<ResultRow>, conditions: Partial<Conditions> = {}) =>
    sameConditions([makeRow(changes)], { ...CONDITIONS, ...conditions }, { caseId }).length === 1;
  assertEquals(stands({}), true);
  const others: Partial<ResultRow>[] = [
    ...[{ adapter: "Other GPU" }, { driver: "NVIDIA 1" }, { backend: "metal" }],
    ...[{ runtime: "deno 3.0.0" }, { timer: "wall" } as const, { case_id: "another" }],
    ...[{ seed: 2 }, { seed: null }, { data_digest: "01234567" }, { sets: 1 }],
    ...[makeFailedRow(), { median_us: null }],
    // Too few sets to be cold, and now there is room for more.
    { sets: 3, memory_bytes: 1e9 },
  ];
  for (const changes of others) assertEquals([changes, stands(changes)], [changes, false]);
  assertEquals(stands({ sets: 3, memory_bytes: 6e9 }), true);
  assertEquals(stands({ memory_bytes: 24e9 }), true);
  const hot = { settings: { hot: true, seed: 1 } };
  assertEquals([stands({}, hot), stands({ sets: 1, cache: "hot" }, hot)], [false, true]);
  assertEquals(
    sameConditions([makeRow({ data_digest: "01234567" })], CONDITIONS, {
      caseId,
      dataDigest: "01234567",
    }).length,
    1,
  );
});

Deno.test("probes stand, whatever the inputs are, where all of them are there", () => {
  const probe = (kernel: string) => makeRow({ kernel, stage: "probe", seed: 7, sets: 1 });
  const rows = [probe("probe/chain"), probe("probe/fma"), ...ALL];
  const alike = sameConditions(rows, CONDITIONS, { caseId });
  assertEquals(keptProbes(alike, ["probe/chain", "probe/fma"])?.length, 2);
  assertEquals(keptProbes(alike, ["probe/chain", "probe/fma", "probe/popcount"]), null);
});

Deno.test("what is there stands and what is missing is measured", () => {
  const names = ["dense/split", "pipeline/sparse", "merge/merge", "score/hamming"];
  assertEquals(parted(ALL, ...names), [names.slice(0, 3), ["score/hamming"]]);
  const others = ALL.with(2, row("merge/merge", 5, { params: '{"LANES":4}' }));
  assertEquals(parted(others, ...names), [names.slice(0, 2), names.slice(2)]);
  assertEquals(parted([], ...names), [[], names]);
});

Deno.test("kernels whose speedups are told stand together or not at all", () => {
  const names = ["dense/split", "dense/gpt_fast", "pipeline/sparse", "merge/merge"];
  assertEquals(parted(ALL, ...names), [["merge/merge"], names.slice(0, 3)]);
  // A pipeline that was timed when no dense kernel was, and one beside a slower one alone.
  for (const speedup_vs_dense of [null, 7]) {
    const rows = ALL.with(1, row("pipeline/sparse", 30, { speedup_vs_dense }));
    const [kept, missing] = parted(rows, "dense/split", "pipeline/sparse", "merge/merge");
    assertEquals([kept, missing], [["merge/merge"], ["dense/split", "pipeline/sparse"]]);
  }
  // Its dense kernels are there, though this run does not want them.
  assertEquals(parted(ALL, "pipeline/sparse"), [["pipeline/sparse"], []]);
});

Deno.test("of several rows of a kernel and case on a device the last counts", () => {
  const rows = [
    makeRow({ median_us: 1 }),
    makeRow({ cache: "hot" }),
    makeRow({ adapter: "Other GPU" }),
    makeFailedRow(),
  ];
  assertEquals(latestRows(rows), [rows[3], rows[1], rows[2]]);
});
