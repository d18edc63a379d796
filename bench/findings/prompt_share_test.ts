import { assertEquals, assertMatch } from "@std/assert";
import type { PeerTime } from "./peers.ts";
import { promptShares } from "./prompt_share.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";

const encoder = makeRow({ kernel: "encode/prompt", stage: "encode_prompt", median_us: 900 });
const attention = makeRow({ kernel: "prefill/flash", stage: "prefill", median_us: 20_800 });

const peer = (peer: string, medianUs: number, changes: Partial<PeerTime> = {}): PeerTime => ({
  stage: "prefill",
  peer,
  medianUs,
  batch: 1,
  qHeads: 32,
  kvHeads: 8,
  headDim: 128,
  kvLen: 8192,
  ...changes,
});

Deno.test("promptShares() without peers compares with prefill/flash, case by case", () => {
  const long = { case_id: "long", kv_len: 32768 };
  assertEquals(
    promptShares([
      encoder,
      { ...encoder, ...long, median_us: 3100 },
      makeRow(),
      attention,
      { ...attention, ...long, median_us: 338_000 },
      { ...encoder, case_id: "alone" },
    ], []),
    [
      "encode/prompt adds 4.3% to the time of prefill/flash, the only prompt attention known " +
      "here, at 8192 tokens (32x8x128)",
      "encode/prompt adds 0.9% to the time of prefill/flash, the only prompt attention known " +
      "here, at 32768 tokens (32x8x128)",
    ],
  );
});

Deno.test("promptShares() writes one token in the singular", () => {
  const rows = [encoder, attention].map((row) => ({ ...row, kv_len: 1 }));
  assertMatch(promptShares(rows, [])[0], / known here, at 1 token \(32x8x128\)$/);
});

Deno.test("promptShares() compares with the fastest known prompt attention", () => {
  const peers = [peer("torch_flash", 1749), peer("torch_cudnn", 989)];
  assertEquals(promptShares([encoder, attention], peers), [
    "encode/prompt adds 91% to the time of torch_cudnn, the fastest prompt attention known here, " +
    "at 8192 tokens (32x8x128)",
  ]);
  assertEquals(promptShares([encoder], peers), promptShares([encoder, attention], peers));
  const rotated = { ...encoder, kernel: "encode/rotate_prompt", median_us: 20 };
  assertMatch(promptShares([rotated], peers)[0], /^encode\/rotate_prompt adds 2\.0% to /);
  assertMatch(
    promptShares([encoder, attention], [peer("slow", 99_999)])[0],
    /adds 4\.3% to the time of prefill\/flash, the fastest prompt/,
  );
});

Deno.test("promptShares() ignores peers of other stages, sizes or number formats", () => {
  const ownShares = promptShares([encoder, attention], []);
  const others: Partial<PeerTime>[] = [{ stage: "decode" }, { kvLen: 4096 }, { kvHeads: 32 }];
  for (const other of [...others, { batch: 8 }, { headDim: 64 }]) {
    assertEquals(promptShares([encoder, attention], [peer("torch_cudnn", 9, other)]), ownShares);
  }
  const [wide, unequal] = [{ dtype: "f32" }, { lengths: "8192 500" }] as const;
  for (const changes of [wide, unequal]) {
    const rows = [{ ...encoder, ...changes }, { ...attention, ...changes }];
    assertEquals(promptShares(rows, [peer("torch_cudnn", 9)]), ownShares);
  }
});

Deno.test("promptShares() ignores a kernel that failed its check", () => {
  const { kernel, stage } = attention;
  const failed = makeFailedRow({ kernel, stage });
  assertEquals(promptShares([encoder, failed], []), []);
  assertMatch(promptShares([encoder, failed], [peer("torch_cudnn", 989)])[0], /torch_cudnn, the o/);
});
