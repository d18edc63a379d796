/** Verifies the decode steps of a mixture of sparse attention. */
import { attendReference } from "../attend/reference.ts";
import { slotCapacity } from "../encode/route.ts";
import { slotsOf } from "../encode/route_reference.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ErrorTally, ListVerifier } from "./error_tally.ts";
import { verifyZeros } from "./verify_rivals.ts";

/** Error of a router's dot in f32, over the sum of the magnitudes of its products. */
const DOT_ERROR = 4e-6;

/** Relative error of the sigmoid itself. */
const SIGMOID_ERROR = 1e-5;

/** What a head has after a step. */
interface Head {
  /** Its token's score, as the step computed it; 0 if it does not take the token. */
  readonly r: number;
  /** Tokens to attend. */
  readonly kept: number;
  /** [slots, 2]: the bits of r, and the token. Empty for a dense head, which has every token. */
  readonly slots: Uint32Array;
  /** The first of its rows in `slot_keys` and `slot_values`. */
  readonly firstRow: number;
}

async function readHead(reader: BufferReader, row: number, length: number): Promise<Head> {
  const { p, params } = reader;
  const { DENSE_HEADS: dense, MOSA_SPARSITY: sparsity } = params;
  const [sequence, head] = [Math.floor(row / p.qHeads), row % p.qHeads];
  const capacity = slotCapacity(p, params);
  const sparse = p.qHeads - dense;
  const [first, before] = [Math.min(head, dense), Math.max(0, head - dense)];
  const firstRow = sequence * (dense * p.capacity + sparse * capacity) + first * p.capacity +
    before * capacity;
  const [[r, kept], slots] = await Promise.all([
    reader.f32("routes", 2 * row, 2),
    head < dense ? new Uint32Array() : reader.u32(
      "slot_tokens",
      2 * (sequence * sparse + before) * capacity,
      2 * slotsOf(length, sparsity, head),
    ),
  ]);
  return { r, kept, slots, firstRow };
}

/** The score in f64, with a bound of the error in f32. */
async function wantedScore(reader: BufferReader, row: number): Promise<[r: number, bound: number]> {
  const { p } = reader;
  const model = p.qHeads * p.headDim;
  const [hidden, weights] = await Promise.all([
    reader.f32("hidden", Math.floor(row / p.qHeads) * model, model),
    reader.f16("router", (row % p.qHeads) * model, model),
  ]);
  let [sum, magnitude] = [0, 0];
  hidden.forEach((value, i) => {
    sum += value * weights[i];
    magnitude += Math.abs(value * weights[i]);
  });
  const r = 1 / (1 + Math.exp(-sum));
  // The slope of the sigmoid is at most r.
  return [r, r * (DOT_ERROR * magnitude + SIGMOID_ERROR)];
}

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0];
}

/** The slots of a head whose tokens are attended, and the one of the newest token. */
interface Attended {
  readonly slots: readonly number[];
  readonly newest: number;
}

function attendedSlots({ slots }: Head, dense: boolean, length: number): Attended {
  if (dense) return { slots: Array.from({ length }, (_, i) => i), newest: length - 1 };
  const tokens = Array.from({ length: slots.length / 2 }, (_, i) => slots[2 * i + 1]);
  const inside = tokens.map((_, i) => i).filter((i) => tokens[i] < length);
  return { slots: inside, newest: tokens.indexOf(length - 1) };
}

/** Verifies whether a head takes the token, as far as its slots after the step show. */
function verifyRoute(
  tally: ErrorTally,
  row: number,
  { r, kept, slots }: Head,
  [wanted, bound]: readonly [number, number],
  { held, newest }: { readonly held: number; readonly newest: number },
): void {
  const lowest = Array.from({ length: slots.length / 2 }, (_, i) => floatOf(slots[2 * i]))
    .reduce((least, each) => Math.min(least, each), Infinity);
  if (kept === 0) {
    if (newest >= 0) tally.fail("slot of a token that is not taken", [row], newest, -1);
    if (held < slots.length / 2) {
      tally.fail("a head that grows takes the token", [row], 0, held + 1);
    }
    if (wanted > lowest + bound) tally.fail("r above the lowest slot's", [row], wanted, lowest);
    return;
  }
  tally.exact("routes, tokens", [row], [kept], [slots.length / 2]);
  if (!(Math.abs(r - wanted) <= bound)) tally.fail("routes, r", [row], r, wanted);
  if (newest < 0) tally.fail("slot of the token that is taken", [row], newest, 0);
  else tally.exact("slot_tokens, r", [row], [floatOf(slots[2 * newest])], [r]);
}

/**
 * Verifies a step: that r is right up to rounding, that the slots follow from it, that the newest
 * rows are in their slot, and the output from the slots.
 */
export const verifySlotStep: ListVerifier = async (tally, reader, ref) => {
  const { p, params } = reader;
  const { length, sequence } = ref;
  if (length === 0) return await verifyZeros(tally, reader, ref);
  await Promise.all(ref.queryRows.map(async (row) => {
    const own = await readHead(reader, row, length);
    const isDense = row % p.qHeads < params.DENSE_HEADS;
    const { slots, newest } = attendedSlots(own, isDense, length);
    if (isDense) tally.exact("routes of a dense head", [row], [own.r, own.kept], [1, length]);
    else {
      const held = slotsOf(length - 1, params.MOSA_SPARSITY, row % p.qHeads);
      verifyRoute(tally, row, own, await wantedScore(reader, row), { held, newest });
    }
    const count = own.kept;
    const [q, out, [sinkLogit], keys, values, newestRows] = await Promise.all([
      reader.headRow("q", row),
      reader.headRow("out", row),
      reader.f32("sink_logits", row % p.qHeads, 1),
      reader.rows("slot_keys", own.firstRow, count),
      reader.rows("slot_values", own.firstRow, count),
      reader.rows("token_rows", 2 * row, 2),
    ]);
    const where = [sequence, row % p.qHeads];
    if (count === 0) {
      return tally.exact(
        "out of a head without the token",
        where,
        out,
        q.map(() => 0),
      );
    }
    tally.exact("slot_keys", where, keys(newest), newestRows(0));
    tally.exact("slot_values", where, values(newest), newestRows(1));
    const attended = attendReference(q, keys, values, slots, undefined, sinkLogit);
    tally.row("out", where, out, attended.map((value) => own.r * value));
  }));
};
