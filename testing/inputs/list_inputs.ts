/** Makes codes, and their distances and selections with the references of score and select. */
import { type CodeKind, generateCodes } from "../../fixtures/generate.ts";
import { createRandom } from "../../fixtures/random.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { headStats } from "../../kernels/core/layout.ts";
import {
  binsOf,
  codeHeads,
  codeWords,
  distanceBytes,
  isRotated,
  listCapacity,
  listHeads,
  maxDistance,
  planesOf,
  queriesPerList,
  queryWords,
  tiesOf,
  windowsOf,
} from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { factorValue } from "../../kernels/encode/rotation.ts";
import { packScale, scaleOf } from "../../kernels/score/bins.ts";
import {
  binnedScoreReference,
  histogramReference,
  scoreReference,
} from "../../kernels/score/reference.ts";
import { sharePrefix } from "./prefix_inputs.ts";
import { selectReference } from "../../kernels/select/reference.ts";
import { type InputOptions, STREAM } from "./input_options.ts";

/** Makes codes, and their distances and selections with the references of score and select. */
export function makeLists(
  variant: Variant,
  p: Problem,
  params: Params,
  { lengths, seed, codeKind: kind }: InputOptions,
): { buffers: Record<string, ArrayBufferView<ArrayBuffer>>; selections: Uint32Array[] } {
  const words = codeWords(p);
  const queries = queriesPerList(p);
  const lists = p.batch * listHeads(p);
  const listsPerCode = listHeads(p) / codeHeads(p);
  const bins = maxDistance(p) + 1;
  const planes = planesOf(p);
  const queryCodes = generateCodes({ count: p.batch * p.qHeads, words: queryWords(p), seed });
  const codeRows = p.batch * codeHeads(p) * p.capacity;
  const codes = generateCodes({ count: codeRows, words, seed: seed + 1, kind });
  sharePrefix(p, codeHeads(p), codes);
  const factors = randomFactors(p, seed, kind);
  const distances = poisoned(lists * p.capacity * distanceBytes(p));
  const packed = distanceBytes(p) === 1 ? distances : new Uint16Array(distances.buffer);
  const blocks = params.BLOCK ? Math.ceil(p.capacity / params.BLOCK) : 0;
  const histograms = new Uint32Array(poisoned(4 * lists * blocks * bins).buffer);
  const selected = new Uint32Array(poisoned(4 * lists * listCapacity(p)).buffer);
  const selections: Uint32Array[] = [];
  for (let list = 0; list < lists; list++) {
    const length = lengths[Math.floor(list / listHeads(p))];
    const start = Math.floor(list / listsPerCode) * p.capacity;
    // A pipeline encodes the newest token itself.
    const newest = variant.stage === "pipeline" ? length - 1 : length;
    codes.fill(0xffffffff, (start + newest) * words, (start + p.capacity) * words);
    const ofQueries = queryCodes.subarray(
      list * queries * queryWords(p),
      (list + 1) * queries * queryWords(p),
    );
    const ofTokens = codes.subarray(start * words, (start + length) * words);
    const ofFactors = factors.bytes.subarray(start, start + length);
    if (isRotated(p)) ofQueries.set([factors.scaleOf(ofQueries, start, length)], queryWords(p) - 1);
    const found = isRotated(p)
      ? binnedScoreReference(ofQueries, ofTokens, ofFactors, planes, binsOf(p))
      : scoreReference(ofQueries, ofTokens, words, planes);
    const windows = windowsOf(p, length);
    packed.set(found, list * p.capacity);
    if (blocks > 0) {
      const counts = histogramReference(found, params.BLOCK, windows, bins);
      histograms.set(counts, list * blocks * bins);
    }
    selections.push(selectReference(found, windows, tiesOf(p)));
    selected.set(selections[list], list * listCapacity(p));
  }
  const buffers = {
    query_codes: queryCodes,
    // An encoder starts from an empty cache, so that missing writes show.
    codes: variant.stage.startsWith("encode") ? codes.fill(0xffffffff) : codes,
    factors: poisonNewest(p, factors.bytes, variant, lengths),
    key_stats: factors.stats(lengths),
    distances,
    block_histograms: histograms,
    selected,
    selected_counts: Uint32Array.from(selections, (tokens) => tokens.length),
  };
  return { buffers, selections };
}

/** Factors of all keys, and what follows from them. */
function randomFactors(p: Problem, seed: number, kind?: CodeKind) {
  const random = createRandom(seed, STREAM.factors);
  const rows = isRotated(p) ? p.batch * p.kvHeads * p.capacity : 0;
  const equals: Partial<Record<CodeKind, number>> = {
    "all-ones": 255,
    "all-equal": 130,
    "all-zero": 15, // the last one without an exponent
  };
  const equal = equals[kind ?? "random"];
  // Most factors are near each other, as in a real cache; others are anything.
  const one = () => random.uniform() < 0.9 ? 120 + random.uint32() % 32 : random.uint32() % 256;
  const bytes = Uint8Array.from({ length: rows }, () => equal ?? one());
  sharePrefix(p, p.kvHeads, bytes);
  const squares = (start: number, tokens: number) =>
    bytes.subarray(start, start + tokens).reduce((sum, byte) => sum + factorValue(byte) ** 2, 0);
  return {
    bytes,
    /**
     * The sum of the tokens before the newest, and the mean key if keys are centred. The sum with the
     * newest is poison.
     */
    stats(lengths: readonly number[]) {
      const size = headStats(p);
      const stats = new Float32Array(rows === 0 ? 0 : size * p.batch * p.kvHeads).fill(NaN);
      for (let i = 0; i < stats.length / size; i++) {
        const cached = lengths[Math.floor(i / p.kvHeads)] - 1;
        stats[size * i + cached % 2] = squares(i * p.capacity, cached);
        for (let d = 2; d < size; d++) stats[size * i + d] = 2 * random.uniform() - 1;
      }
      return stats;
    },
    /** The scale of a query that is compared with `length` tokens. */
    scaleOf(queryCode: Uint32Array, start: number, length: number): number {
      const words = codeWords(p);
      const magnitudes = Array.from({ length: p.bits }, (_, j) => {
        const bitOf = (plane: number) =>
          (queryCode[(1 + plane) * words + (j >>> 5)] >>> (j & 31)) & 1;
        return Array.from({ length: planesOf(p) }, (_, plane) => bitOf(plane) * 2 ** plane)
          .reduce((sum, each) => sum + each, planesOf(p) === 0 ? 1 : 0);
      });
      return packScale(scaleOf(magnitudes, Math.sqrt(squares(start, length) / length), binsOf(p)));
    },
  };
}

/** Factors without those that the variant makes: of the newest tokens, and past the lengths. */
function poisonNewest(
  p: Problem,
  factors: Uint8Array<ArrayBuffer>,
  variant: Variant,
  lengths: readonly number[],
): Uint8Array<ArrayBuffer> {
  const poisonedBytes = factors.slice();
  for (let row = 0; row * p.capacity < factors.length; row++) {
    const length = lengths[Math.floor(row / p.kvHeads)];
    const known = variant.stage === "pipeline" ? length - 1 : length;
    poisonedBytes.fill(0xff, row * p.capacity + known, (row + 1) * p.capacity);
  }
  return poisonedBytes;
}

function poisoned(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes).fill(0xff);
}
