/**
 * Verifies the results of a variant against the f64 references. Inputs and results are read from
 * the variant's buffers. Only the stage itself is verified: its inputs are taken as right.
 */
import type { Params } from "../core/problem/constants.ts";
import type { ReadBytes, Stage, Variant } from "../core/variant.ts";
import { verifyAttend, verifyDense, verifyMerge, verifyPipeline } from "./verify_attend.ts";
import { verifyAppend, verifyPrompt, verifyQueryCodes } from "./verify_encode.ts";
import {
  verifyPageAppend,
  verifyPagePrompt,
  verifyPageScores,
  verifyPageSelect,
  verifyPageStep,
} from "./verify_pages.ts";
import { LABEL_FORMS } from "../core/problem/labels.ts";
import { verifyLabelAppend, verifyLabelPrompt } from "./verify_labels.ts";
import { verifyNewestPqCodes, verifyPqPrompt } from "./verify_pq.ts";
import { PQ_PARTS, pqNames } from "../encode/pq.ts";
import { verifyDecayStep } from "./verify_decay.ts";
import { verifySlotStep } from "./verify_slots.ts";
import { verifyCompressedRow, verifyNsaStep } from "./verify_nsa.ts";
import { verifyPrefill } from "./verify_prefill.ts";
import { BufferReader } from "./buffer_reader.ts";
import { type ListRef, listRef } from "./list_ref.ts";
import { verifyRivalStep, verifyScores } from "./verify_rivals.ts";
import { verifyScore, verifySelect } from "./verify_select.ts";
import {
  type CheckResult,
  ErrorTally,
  type ListVerifier,
  type VerifyScope,
} from "./error_tally.ts";
import { listHeads } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";

export {
  type CheckResult,
  type KnownReferences,
  MAX_REL_L2,
  type VerifyScope,
  type WorstElement,
} from "./error_tally.ts";

/** The verifiers of stages that work on pages. */
const PAGE_VERIFIERS: Partial<Record<Stage, ListVerifier>> = {
  encode_append: verifyPageAppend,
  encode_prompt: verifyPagePrompt,
  score: verifyPageScores,
  select: verifyPageSelect,
  rival: verifyPageStep,
};

/** The verifiers of stages that make labels. */
const LABEL_VERIFIERS: Partial<Record<Stage, ListVerifier>> = {
  encode_append: verifyLabelAppend,
  encode_prompt: verifyLabelPrompt,
};

/** The verifiers of stages that make product-quantised codes. */
const PQ_VERIFIERS: Partial<Record<Stage, ListVerifier>> = {
  encode_append: verifyNewestPqCodes,
  encode_prompt: verifyPqPrompt,
};

/** Verifiers of the stages of other systems, by the buffers that only they have. */
const OTHERS: readonly [Partial<Record<Stage, ListVerifier>>, readonly string[]][] = [
  [PAGE_VERIFIERS, ["page_bounds", "page_scores", "selected_pages"]],
  [LABEL_VERIFIERS, LABEL_FORMS.map(({ labels }) => labels)],
  [PQ_VERIFIERS, PQ_PARTS.map((parts) => pqNames(parts).pq_codes)],
  [{ rival: verifyDecayStep }, ["decays"]],
  [{ rival: verifySlotStep }, ["slot_keys"]],
  [{ encode_append: verifyCompressedRow, rival: verifyNsaStep }, ["branch_keys"]],
];

const VERIFIERS: Partial<Record<Stage, ListVerifier>> = {
  encode_query: (tally, reader, ref) => verifyQueryCodes(tally, reader, ref),
  encode_append: verifyAppend,
  encode_prompt: verifyPrompt,
  score: (tally, reader, ref, hasBuffer, scope) => {
    const verifyList = hasBuffer("scores") ? verifyScores : verifyScore;
    return verifyList(tally, reader, ref, hasBuffer, scope);
  },
  select: verifySelect,
  attend: verifyAttend,
  merge: verifyMerge,
  dense: verifyDense,
  pipeline: verifyPipeline,
  prefill: verifyPrefill,
  rival: verifyRivalStep,
};

/** The relative error of a number that is rounded to f16, up or down. */
const F16_ERROR = 2 ** -10;

/** Most bytes of K and V, as f32, on the host at a time. */
const HOST_BYTES = 2 ** 29;

/**
 * Batches of lists to verify concurrently. A read from a GPU buffer takes 10 ms in Deno, but
 * concurrent reads take no longer. All K and V of a long cache would not fit in host memory.
 */
function batchesThatFitHost(p: Problem, refs: readonly ListRef[]): ListRef[][] {
  const kvHeads = Math.max(1, Math.floor(HOST_BYTES / (8 * p.capacity * p.headDim)));
  const lists = kvHeads * listHeads(p) / p.kvHeads;
  return Array.from(
    { length: Math.ceil(refs.length / lists) },
    (_, i) => refs.slice(i * lists, (i + 1) * lists),
  );
}

/**
 * Verifies a variant that has run.
 *
 * @param read Reads the variant's buffers; only the parts that the scope needs are read.
 * @throws {RangeError} for a stage that has no reference.
 */
export async function verify(
  variant: Variant,
  p: Problem,
  params: Params,
  read: ReadBytes,
  scope: VerifyScope = {},
): Promise<CheckResult> {
  const { buffers } = variant.plan(p, params);
  const [other] = OTHERS.find(([, names]) => names.some((name) => name in buffers)) ?? [];
  const verifyList = other?.[variant.stage] ?? VERIFIERS[variant.stage];
  if (!verifyList) throw new RangeError(`stage ${variant.stage} has no reference`);
  const heads = scope.heads ?? Array.from({ length: listHeads(p) }, (_, head) => head);
  const sequences = scope.sequences ?? Array.from({ length: p.batch }, (_, i) => i);
  // A stage that starts from a selection or from partials has no lengths.
  const lengths = "lengths" in buffers
    ? await new BufferReader(p, params, read).u32("lengths", 0, p.batch)
    : [];
  const refs = sequences.flatMap((sequence) =>
    heads.map((head) => listRef(p, sequence, head, lengths[sequence] ?? 0))
  );
  const rounds = p.outDtype === "f16" && "out" in buffers;
  const tally = new ErrorTally(variant.precision, rounds ? F16_ERROR : 0);
  for (const together of batchesThatFitHost(p, refs)) {
    const reader = new BufferReader(p, params, read);
    const hasBuffer = (name: string) => name in buffers;
    await Promise.all(together.map((ref) => verifyList(tally, reader, ref, hasBuffer, scope)));
  }
  return tally.result(
    `${variant.stage}: ${heads.length} of ${listHeads(p)} lists, ` +
      `${sequences.length} of ${p.batch} sequences`,
  );
}
