import { assertEquals } from "@std/assert";
import { promptShares } from "./prompt_share.ts";
import { makeFailedRow, makeRow } from "./testing_row.ts";

const encoder = makeRow({ kernel: "encode/prompt", stage: "encode_prompt", median_us: 1000 });
const attention = makeRow({ kernel: "prefill/flash", stage: "prefill", median_us: 19_000 });

Deno.test("the encoder's share is told for each case that has both kernels", () => {
  const long = { case_id: "long", kv_len: 32768 };
  assertEquals(
    promptShares([
      encoder,
      { ...encoder, ...long, median_us: 4000 },
      makeRow(),
      attention,
      { ...attention, ...long, median_us: 316_000 },
      { ...encoder, case_id: "alone" },
    ]),
    [
      "encode/prompt takes 5.0% of prefill/flash + encode/prompt at 8192 tokens (32x8x128)",
      "encode/prompt takes 1.3% of prefill/flash + encode/prompt at 32768 tokens (32x8x128)",
    ],
  );
});

Deno.test("a kernel that failed its check has no share", () => {
  const { kernel, stage } = attention;
  assertEquals(promptShares([encoder, makeFailedRow({ kernel, stage })]), []);
});
