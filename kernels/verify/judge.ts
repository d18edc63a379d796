/**
 * Judges what a contender left in its buffers against the f64 references, from the inputs that lie
 * in the same buffers. Each stage is judged by what it owns alone: what came in is taken as given.
 */
import type { Contender, Params, Stage } from "../core/contender.ts";
import { judgeAttend, judgeDense, judgeMerge, judgePipeline } from "./judge_attend.ts";
import { judgeKeyCodes, judgeQueryCodes } from "./judge_encode.ts";
import { judgePrefill } from "./judge_prefill.ts";
import { BufferReader, type ListPlace, listPlace, type ReadBytes } from "./judge_read.ts";
import { judgeScore, judgeSelect } from "./judge_select.ts";
import { type JudgeScope, type ListJudge, Tally, type Verdict } from "./judge_tally.ts";
import { codeHeads, type Problem } from "../core/problem.ts";

export {
  type JudgeScope,
  type KnownReferences,
  MAX_REL_L2,
  type Verdict,
  type WorstElement,
} from "./judge_tally.ts";
export type { ReadBytes } from "./judge_read.ts";

const JUDGES: Partial<Record<Stage, ListJudge>> = {
  encode_query: (tally, reader, place) => judgeQueryCodes(tally, reader, place),
  encode_append: (tally, reader, place) => judgeKeyCodes(tally, reader, place, place.length - 1),
  encode_prompt: (tally, reader, place, _owns, { promptTokens = Infinity }) =>
    judgeKeyCodes(tally, reader, place, 0, Math.max(1, Math.floor(place.length / promptTokens))),
  score: judgeScore,
  select: judgeSelect,
  attend: judgeAttend,
  merge: judgeMerge,
  dense: judgeDense,
  pipeline: judgePipeline,
  prefill: judgePrefill,
};

/** Bytes of K and V, as f32, that may be on the host at a time. */
const HOST_BYTES = 2 ** 29;

/**
 * Lists to judge side by side: a read from a GPU buffer takes 10 ms in Deno, but many at a time
 * take no longer; all of a long cache would not fit the host.
 */
function affordable(p: Problem, places: readonly ListPlace[]): ListPlace[][] {
  const kvHeads = Math.max(1, Math.floor(HOST_BYTES / (8 * p.capacity * p.headDim)));
  const lists = kvHeads * codeHeads(p) / p.kvHeads;
  return Array.from(
    { length: Math.ceil(places.length / lists) },
    (_, i) => places.slice(i * lists, (i + 1) * lists),
  );
}

/**
 * Judges a contender that has run.
 *
 * @param read Reads the contender's buffers; only what the scope needs is asked for.
 * @throws {RangeError} for a stage that has no reference.
 */
export async function judge(
  contender: Contender,
  p: Problem,
  params: Params,
  read: ReadBytes,
  scope: JudgeScope = {},
): Promise<Verdict> {
  const judgeList = JUDGES[contender.stage];
  if (!judgeList) throw new RangeError(`stage ${contender.stage} has no reference`);
  const { buffers } = contender.plan(p, params);
  const heads = scope.heads ?? Array.from({ length: codeHeads(p) }, (_, head) => head);
  const sequences = scope.sequences ?? Array.from({ length: p.batch }, (_, at) => at);
  // What starts from a selection or from partials needs no lengths.
  const lengths = "lengths" in buffers
    ? await new BufferReader(p, params, read).u32("lengths", 0, p.batch)
    : [];
  const places = sequences.flatMap((sequence) =>
    heads.map((head) => listPlace(p, sequence, head, lengths[sequence] ?? 0))
  );
  const tally = new Tally();
  for (const together of affordable(p, places)) {
    const reader = new BufferReader(p, params, read);
    const owns = (name: string) => name in buffers;
    await Promise.all(together.map((place) => judgeList(tally, reader, place, owns, scope)));
  }
  return tally.verdict(
    `${contender.stage}: ${heads.length} of ${codeHeads(p)} code heads, ` +
      `${sequences.length} of ${p.batch} sequences`,
  );
}
