/** Test support: a row of results with every column filled in. */
import { LATER_DEFAULTS, type ResultRow } from "../bench/results/row.ts";

/**
 * A verified row of dense attention, with `changes` to its columns. A changed median without an
 * interval gets one of half a percent on each side.
 */
export function makeRow(changes: Partial<ResultRow> = {}): ResultRow {
  const { median_us: us } = changes;
  const interval = us ? { ci_low_us: us * 0.995, ci_high_us: us * 1.005 } : {};
  return {
    ...LATER_DEFAULTS,
    utc: "2026-07-03T12:34:56.789Z",
    suite_version: "0.1.0",
    commit: "0123456789ab",
    runtime: "deno 2.9.6",
    adapter: "Some GPU",
    vendor: "nvidia",
    driver: "NVIDIA 580.1",
    backend: "vulkan",
    software: false,
    case_id: "32x8x128-n8192-b1-f16-c32h-mlp3x128f16-s32-w128+128",
    kernel: "dense/split",
    stage: "dense",
    batch: 1,
    q_heads: 32,
    kv_heads: 8,
    head_dim: 128,
    kv_len: 8192,
    lengths: "8192",
    dtype: "f16",
    bits: 32,
    code_sharing: "head",
    map: "mlp3x128-f16",
    k: 256,
    selected: 256,
    sink: 128,
    recent: 128,
    rows: null,
    unique_rows: null,
    params: '{"WORKGROUP":256,"LANES":8}',
    workgroup: 256,
    cache: "cold",
    seed: 1,
    memory_bytes: 6e9,
    timer: "timestamp",
    steps_per_sample: 64,
    sets: 9,
    touched_bytes: 33_587_200,
    median_us: 22.4,
    ci_low_us: 22.3,
    ci_high_us: 22.512345678,
    noise_pct: 0.3,
    samples: 48,
    dropped: 0,
    bytes: 33_587_200,
    gbytes_per_s: 1499.4285714,
    gflops_per_s: 5991.8628571,
    dispatches: 2,
    floor_us: 15.1,
    roofline_pct: 67.41,
    speedup_vs_dense: 1,
    ns_per_tick: 1,
    rel_l2_err: 1.23456e-7,
    verified: true,
    failure: "",
    clock_grain_ns: 32,
    ...interval,
    ...changes,
  };
}

/** A row of a variant that failed its check. */
export function makeFailedRow(changes: Partial<ResultRow> = {}): ResultRow {
  return makeRow({
    median_us: null,
    ci_low_us: null,
    ci_high_us: null,
    noise_pct: null,
    samples: 0,
    gbytes_per_s: null,
    gflops_per_s: null,
    roofline_pct: null,
    speedup_vs_dense: null,
    rel_l2_err: 1.9,
    verified: false,
    failure: "out at [0, 3, 7]: got 0.25, want -0.25",
    ...changes,
  });
}

/** Gives rows the speedups that they would have if one run had timed them in turns. */
export function inTurns(rows: readonly ResultRow[]): ResultRow[] {
  const isRight = ({ verified, median_us }: ResultRow) => verified && median_us !== null;
  const dense = rows.filter((row) => row.stage === "dense" && isRight(row));
  const best = Math.min(...dense.map(({ median_us }) => median_us!));
  return rows.map((row) =>
    isRight(row) && dense.length > 0 && ["dense", "pipeline"].includes(row.stage)
      ? { ...row, speedup_vs_dense: best / row.median_us! }
      : row
  );
}
