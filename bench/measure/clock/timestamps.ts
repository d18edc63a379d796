/**
 * Times passes by the GPU's own clock, with a timestamp at the begin and the end of each pass. The
 * WebGPU specification says that timestamps are nanoseconds. In Deno they are raw ticks (1 ns on
 * NVIDIA, 10 to 83 ns elsewhere) whose period is not exposed, so it is measured against the wall
 * clock. Browsers round timestamps down to 65,536 or 100,000 ns. Some devices leave them at 0.
 */
import { encodePass, type RecordPass } from "../../../kernels/core/run/run.ts";
import { gcd, type Mark, rateOf, snapped, type StampPair } from "./clock_math.ts";
import { idleAtMs, type WallClock } from "./gpu_passes.ts";
import type { GpuTimer } from "./gpu_timer.ts";

/** Limit of timed passes per call: WebGPU allows 4,096 timestamps in a query set. */
export const MAX_PASSES = 2048;

/**
 * A timer by timestamps, or the reason why this device's are unusable, as the end of a sentence.
 */
export async function timestampTimer(
  device: GPUDevice,
  work: RecordPass,
  calibrateMs: number,
  clock: WallClock,
): Promise<GpuTimer | string> {
  const submit = stampReader(device, clock);
  const survey = await surveyStamps(submit, work, clock);
  if (survey === null) return "its timestamps do not advance during a pass";
  const mark = () => bestMark(device, submit, survey.work, clock);
  const nsPerTick = await calibrate(mark, survey.grainTicks, calibrateMs, clock);
  if (nsPerTick === null) return "its timestamps do not advance between passes";
  const usOf = (pair: StampPair, maxUs: number) => {
    const us = Number(pair.end - pair.begin) * nsPerTick / 1000;
    return us > 0 && us <= maxUs ? us : null;
  };
  const grainNs = survey.grainTicks * nsPerTick;
  const maxUs = (elapsedMs: number) => elapsedMs * 1000 * RATE_SLACK + grainNs / 1000;
  const plausible = survey.pairs.filter((pair) => usOf(pair, maxUs(survey.elapsedMs)) !== null);
  if (plausible.length < survey.pairs.length / 2) {
    return "its timestamps say that passes take longer than they can";
  }
  return {
    kind: "timestamp",
    nsPerTick,
    grainNs,
    resolutionUs: grainNs / 1000,
    note: grainNs < COARSE_NS
      ? null
      : `Timestamps advance in steps of ${
        Math.round(grainNs).toLocaleString("en")
      } ns on this device, so samples are longer than usual.`,
    nowMs: clock.nowMs,
    async time(passes, before = []) {
      const { submittedMs, pairs } = submit(passes, before);
      const found = await pairs;
      // No pass can take longer than the time from its submission to its result.
      const limitUs = maxUs(clock.nowMs() - submittedMs);
      return found.map((pair) => usOf(pair, limitUs));
    },
  };
}

/** The user is told about a grain from here on, since samples then have to be longer than usual. */
const COARSE_NS = 20_000;

/** A pass may appear to take this multiple of the wall time, since the calibration is not exact. */
const RATE_SLACK = 1.1;

interface Submission {
  readonly submittedMs: number;
  /** The timestamps of each pass. */
  readonly pairs: Promise<StampPair[]>;
}

type Submit = (passes: readonly RecordPass[], before: readonly RecordPass[]) => Submission;

function stampReader(device: GPUDevice, clock: WallClock): Submit {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * MAX_PASSES });
  const bytes = 16 * MAX_PASSES;
  const { COPY_DST, COPY_SRC, MAP_READ, QUERY_RESOLVE } = GPUBufferUsage;
  const resolved = device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
  const readable = device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });

  async function read(passes: number): Promise<StampPair[]> {
    await readable.mapAsync(GPUMapMode.READ, 0, 16 * passes);
    const stamps = new BigUint64Array(readable.getMappedRange(0, 16 * passes).slice(0));
    readable.unmap();
    return Array.from({ length: passes }, (_, i) => ({
      begin: stamps[2 * i],
      end: stamps[2 * i + 1],
    }));
  }

  return (passes, before) => {
    if (passes.length > MAX_PASSES) {
      throw new RangeError(`${passes.length} timed passes exceed ${MAX_PASSES} of one batch`);
    }
    // Everything is encoded before it is submitted, so that the GPU does not wait for the CPU.
    const commands = [
      ...before.map((record) => encodePass(device, record)),
      ...passes.map((record, i) =>
        encodePass(device, record, {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        })
      ),
    ];
    const last = device.createCommandEncoder();
    last.resolveQuerySet(querySet, 0, 2 * passes.length, resolved, 0);
    last.copyBufferToBuffer(resolved, 0, readable, 0, 16 * passes.length);
    commands.push(last.finish());
    const submittedMs = clock.nowMs();
    device.queue.submit(commands);
    return { submittedMs, pairs: read(passes.length) };
  };
}

/** The first measurements of a device's timestamps. */
interface Survey {
  /** Work that is long enough for most passes to end at a later timestamp than they begin. */
  readonly work: RecordPass;
  readonly pairs: readonly StampPair[];
  /** Time from the submission until all timestamps were read. */
  readonly elapsedMs: number;
  /** Ticks between neighbouring values of a timestamp. */
  readonly grainTicks: number;
}

const SURVEY_PASSES = 32;
/** Limit of repetitions of the work in a pass. */
const MAX_REPEATS = 16_384;
/** The work is not lengthened after a submission of this length. */
const MAX_SURVEY_MS = 200;

/** Lengthens the work until the timestamps of most passes advance; null if they never do. */
async function surveyStamps(
  submit: Submit,
  work: RecordPass,
  clock: WallClock,
): Promise<Survey | null> {
  // The first submission compiles the work, which must not count.
  await submit([work], []).pairs;
  for (let repeats = 1; repeats <= MAX_REPEATS; repeats *= 4) {
    const repeated: RecordPass = (pass) => {
      for (let i = 0; i < repeats; i++) work(pass);
    };
    const { submittedMs, pairs: pending } = submit(Array(SURVEY_PASSES).fill(repeated), []);
    const pairs = await pending;
    const elapsedMs = clock.nowMs() - submittedMs;
    const advancing = pairs.filter(({ begin, end }) => end > begin);
    if (advancing.length >= SURVEY_PASSES / 2) {
      // All timestamps are a common offset plus a multiple of the grain.
      const stamps = advancing.flatMap(({ begin, end }) => [begin, end]);
      const grain = stamps.map((stamp) => stamp - stamps[0]).reduce(gcd, 0n);
      return { work: repeated, pairs, elapsedMs, grainTicks: Number(grain) };
    }
    if (elapsedMs > MAX_SURVEY_MS) break;
  }
  return null;
}

/** The tightest of a few marks. The CPU may be busy with other work during one of them. */
async function bestMark(
  device: GPUDevice,
  submit: Submit,
  work: RecordPass,
  clock: WallClock,
): Promise<Mark> {
  const marks: Mark[] = [];
  for (let i = 0; i < MARKS; i++) {
    const { submittedMs, pairs } = submit([work], []);
    const idleMs = await idleAtMs(device, clock);
    const [{ end }] = await pairs;
    marks.push({ ticks: end, submittedMs, idleMs });
  }
  const widthMs = ({ submittedMs, idleMs }: Mark) => idleMs - submittedMs;
  return marks.reduce((best, mark) => widthMs(mark) < widthMs(best) ? mark : best);
}

const MARKS = 3;
/** Calibration goes on until the rate's error is below this share of the rate. */
const RATE_ERROR = 0.004;
/** Longest calibration, in multiples of the shortest. */
const LONGEST = 8;

/** Nanoseconds per tick; null if the clock stands still. */
async function calibrate(
  mark: () => Promise<Mark>,
  grainTicks: number,
  calibrateMs: number,
  clock: WallClock,
): Promise<number | null> {
  const first = await mark();
  for (let spanMs = calibrateMs;; spanMs *= 2) {
    await clock.sleep(spanMs - (clock.nowMs() - first.idleMs));
    const rate = rateOf(first, await mark(), grainTicks);
    if (rate === null) return null;
    if (rate.error <= RATE_ERROR || spanMs >= LONGEST * calibrateMs) return snapped(rate);
  }
}
