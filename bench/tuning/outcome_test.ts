import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import { failed, type Measured } from "./messages.ts";
import {
  entryOf,
  formatOutcomes,
  latestOf,
  openReason,
  type Outcome,
  standingOf,
  winnerOf,
} from "./outcome.ts";

const DEFAULTS = { LANES: 16, SPLITS: 32 };

function final(params: Params, us: number, half: number): Measured {
  const [low, high] = [us - half, us + half];
  return { phase: "final", params, us, low, high, samples: 20, failure: null };
}

function outcome(...measured: Measured[]): Outcome {
  const [benchCase] = casesOf(parseOptions(["--shape", "4x2x64", "--kv", "256"]));
  const subject = {
    adapter: "Some GPU",
    driver: "1.0",
    backend: "vulkan",
    compiler: "naga",
    case_id: benchCase.caseId,
    kernel: "dense/split",
    checksum: "abc",
  };
  const variant = findVariant("dense/split");
  const latest = latestOf(measured);
  const open = { unmeasured: [], refused: null, gaveUp: null };
  return { benchCase, variant, subject, latest, defaults: DEFAULTS, ...open };
}

Deno.test("winnerOf() takes the fastest whose interval is clear of the defaults'", () => {
  const baseline = final(DEFAULTS, 20, 0.5);
  const noisy = final({ ...DEFAULTS, LANES: 4 }, 17, 5);
  const clear = final({ ...DEFAULTS, LANES: 8 }, 18, 0.5);
  assertEquals(winnerOf(outcome(baseline, noisy, clear)).best?.params, { LANES: 8, SPLITS: 32 });
  assertEquals(winnerOf(outcome(baseline, noisy)).best?.params, DEFAULTS);
});

Deno.test("winnerOf() takes only candidates that were measured in full and did not fail", () => {
  const baseline = final(DEFAULTS, 20, 0.5);
  const fast = final({ ...DEFAULTS, LANES: 8 }, 10, 0.5);
  const early = { ...fast, phase: "explore" } as const;
  assertEquals(winnerOf(outcome(early, baseline)).best?.params, DEFAULTS);
  assertEquals(
    winnerOf(outcome(fast, baseline, failed(fast.params, "hung"))).best?.params,
    DEFAULTS,
  );
});

Deno.test("entryOf() takes the fastest if the defaults fail, and null if all fail", () => {
  const fast = final({ ...DEFAULTS, LANES: 8 }, 10, 0.5);
  const entry = entryOf(outcome(failed(DEFAULTS, "wrong"), fast));
  assertEquals([entry?.params.LANES, entry?.us, entry?.defaultUs], [8, 10, null]);
  assertEquals(entryOf(outcome(failed(DEFAULTS, "wrong"))), null);
});

Deno.test("standingOf() is unfinished without a time of the defaults", () => {
  const fast = final({ ...DEFAULTS, LANES: 8 }, 10, 0.5);
  const early = { ...final(DEFAULTS, 20, 0.5), phase: "explore" } as const;
  const why = "its process ended: the device was lost, twice";
  for (const open of [outcome(fast), outcome(fast, early)]) {
    assertEquals([entryOf(open), standingOf(open)], [null, "unfinished"]);
    assertMatch(formatOutcomes([open]), /dense\/split +\d +0 +unmeasured/);
  }
  const lost = {
    ...outcome(failed(fast.params, "wrong")),
    unmeasured: [{ params: DEFAULTS, why }],
  };
  assertEquals([standingOf(lost), openReason(lost)], ["unfinished", why]);
  assertEquals(standingOf(outcome(failed(DEFAULTS, "wrong"))), "failed");
});

Deno.test("formatOutcomes() names the columns that it leaves out in a narrow terminal", () => {
  const text = formatOutcomes([outcome(final(DEFAULTS, 20, 0.5))], 60);
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 60, line);
  assertMatch(text, /\nkernel +tried +failed +default us +best us +x\n/);
  assert(
    text.endsWith("\nNot shown for want of room: 95% interval; the log has all\nmeasurements."),
  );
});

Deno.test("formatOutcomes() shows default and best with intervals and changed parameters", () => {
  const text = formatOutcomes([
    outcome(final(DEFAULTS, 20, 0.5), final({ ...DEFAULTS, LANES: 8 }, 10, 0.25)),
  ]);
  assertMatch(text, /^4x2x64 at 256 tokens\n/);
  assertMatch(text, /dense\/split +2 +0 +20\.00 +19\.50-20\.50 +10\.00 +9\.75-10\.25 +2\.00\n/);
  assert(text.endsWith("\n    LANES 16 -> 8"));
});
