/**
 * The error of a step on a trace, through the pipeline of the device. Many queries are submitted
 * together: their inputs are copied on the device, and all outputs are read back at once.
 */
import { NO_SINK_LOGIT } from "../../kernels/core/layout.ts";
import { bufferSize } from "../../kernels/core/run/program.ts";
import { readBytes, type RecordPass, write } from "../../kernels/core/run/run.ts";
import { relativeError } from "../selection/attention.ts";
import { queriesAt } from "../selection/device_steps.ts";
import type { Truth } from "./truth.ts";

/** The quality of a step, means over queries and heads. */
export interface StepQuality {
  /** Relative L2 distance of the output from dense attention's; NaN if an output is. */
  readonly error: number;
  /** Share of the attention mass that the step attends; NaN if an output is. */
  readonly mass: number;
}

/** A step over buffers that hold a trace. */
export interface TraceStep {
  readonly device: GPUDevice;
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
  /** Makes anew what a step of another length has changed. */
  readonly restart: RecordPass;
  readonly record: RecordPass;
}

/** Queries of a submission. The driver may reset a GPU that works for long. */
const QUERIES_TOGETHER = 32;

/**
 * Runs a step at every query of a trace's last quarter, each twice: as it is, and with a logit in
 * each head's denominator that stands for all tokens. Of the output of the first run the second
 * leaves the share a / (a + 1), where a is the share of the attention mass that the step attends.
 * So the mass needs no list of tokens, which fused steps never write.
 */
export async function stepQuality(
  { trace, out, logSums }: Pick<Truth, "trace" | "out" | "logSums">,
  { device, buffers, restart, record }: TraceStep,
): Promise<StepQuality> {
  const { positions, headDim, queryHeads } = trace;
  const queries = positions.length;
  const rowBytes = 4 * queryHeads * headDim;
  const logitBytes = buffers.sink_logits.size;
  const made: GPUBuffer[] = [];
  const create = (bytes: number) => {
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = device.createBuffer({ size: bufferSize(bytes), usage });
    made.push(buffer);
    return buffer;
  };
  try {
    const [lengths, q, none, logits, results] = [
      ...[4 * queries, queries * rowBytes, logitBytes, queries * logitBytes],
      2 * queries * rowBytes,
    ].map(create);
    write(device, lengths, Uint32Array.from(positions, (position) => position + 1));
    const rows = Array.from({ length: queries }, (_, query) => [...queriesAt(trace, query)]);
    write(device, q, Float32Array.from(rows.flat()));
    const withoutLogit = new Float32Array(logitBytes / 4).fill(NO_SINK_LOGIT);
    write(device, none, withoutLogit);
    const perQuery = new Float32Array(queries * logitBytes / 4).fill(NO_SINK_LOGIT);
    logSums.forEach((heads, query) => perQuery.set(heads, query * logitBytes / 4));
    write(device, logits, perQuery);
    write(device, results, new Uint32Array(results.size / 4).fill(0xffffffff));
    for (let first = 0; first < queries; first += QUERIES_TOGETHER) {
      const encoder = device.createCommandEncoder();
      const step = (...records: RecordPass[]) => {
        const pass = encoder.beginComputePass();
        for (const each of records) each(pass);
        pass.end();
      };
      for (let i = first; i < Math.min(first + QUERIES_TOGETHER, queries); i++) {
        encoder.copyBufferToBuffer(lengths, 4 * i, buffers.lengths, 0, 4);
        encoder.copyBufferToBuffer(q, i * rowBytes, buffers.q, 0, rowBytes);
        encoder.copyBufferToBuffer(none, 0, buffers.sink_logits, 0, logitBytes);
        step(restart, record);
        encoder.copyBufferToBuffer(buffers.out, 0, results, 2 * i * rowBytes, rowBytes);
        encoder.copyBufferToBuffer(logits, i * logitBytes, buffers.sink_logits, 0, logitBytes);
        step(record);
        encoder.copyBufferToBuffer(buffers.out, 0, results, (2 * i + 1) * rowBytes, rowBytes);
      }
      device.queue.submit([encoder.finish()]);
    }
    const read = await readBytes(device, results, 0, 2 * queries * rowBytes);
    return qualityOf(new Float32Array(read.buffer), out, { queries, queryHeads, headDim });
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}

function qualityOf(
  results: Float32Array,
  exact: Truth["out"],
  { queries, queryHeads, headDim }: Record<"queries" | "queryHeads" | "headDim", number>,
): StepQuality {
  let [error, mass] = [0, 0];
  for (let query = 0; query < queries; query++) {
    for (let head = 0; head < queryHeads; head++) {
      const rowAt = (run: number) => {
        const start = ((2 * query + run) * queryHeads + head) * headDim;
        return results.subarray(start, start + headDim);
      };
      const [plain, halved] = [rowAt(0), rowAt(1)];
      error += relativeError(plain, exact[query][head]);
      mass += massOf(plain, halved);
    }
  }
  return { error: error / (queries * queryHeads), mass: mass / (queries * queryHeads) };
}

/** The share a of the attention mass, where `halved` is a / (a + 1) of `plain`. */
export function massOf(plain: ArrayLike<number>, halved: ArrayLike<number>): number {
  let [both, square] = [0, 0];
  for (let d = 0; d < plain.length; d++) {
    both += plain[d] * halved[d];
    square += plain[d] ** 2;
  }
  // A step that attends nothing gives zeros.
  if (square === 0) return 0;
  const share = both / square;
  return share / (1 - share);
}
