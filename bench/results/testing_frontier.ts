/** Test support: a row of `frontier`. */
import type { FrontierRow } from "./frontier_rows.ts";

/** A row of a GPU at 131,072 tokens of 32x8x128, with some values of its own. */
export function frontierRow(changes: Partial<FrontierRow> = {}): FrontierRow {
  const { us = 46, dense_us = 180 } = changes;
  return {
    method: "rotated-128-w2",
    budget: 32,
    planes: 2,
    bytes_per_token: 17,
    error: 0.05,
    mass: 0.9,
    us,
    ratio: us !== null && dense_us !== null ? Number((dense_us / us).toPrecision(6)) : null,
    dense_us,
    kv_len: 131072,
    trace: "a",
    trace_tokens: 16384,
    queries: 160,
    shape: "32x8x128",
    kernel: "pipeline/rotated_short",
    dense_kernel: "dense/split_subgroup",
    bytes: 5e7,
    dense_bytes: 536_887_296,
    us_low: us,
    us_high: us,
    samples: 20,
    sets: 6,
    layers: 1,
    sink: 128,
    recent: 128,
    seed: 1,
    data_digest: "00000000",
    utc: "2026-11-28T12:00:00.000Z",
    suite_version: "0.1.0",
    commit: "0123456789ab",
    runtime: "deno 2.9.6",
    adapter: "Some GPU",
    vendor: "some",
    driver: "1.0",
    backend: "vulkan",
    software: false,
    compiler: "naga",
    toggles: "",
    limits: "adapter",
    ...changes,
  };
}
