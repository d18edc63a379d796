/** The flags that choose the device and how to measure; `bench` and `tune` share them. */
import { FEWEST_SAMPLES } from "../measure/clock/sampler.ts";
import { TIMER_CHOICES, type TimerChoice } from "../measure/clock/timer.ts";
import { DAWN_TOGGLES, type GpuChoice } from "../measure/device/gpu_choice.ts";
import { LIMIT_CHOICES, type LimitChoice } from "../measure/device/gpu_limits.ts";
import { UsageError } from "../base/usage_error.ts";
import type { Flag, Flags } from "./flag_table.ts";
import { asWritten, decimal, listOf, MAX_U32, oneOf, seconds, wholeNumber } from "./flag_values.ts";
import type { Parsed } from "./parse_flags.ts";

/** The device and how to measure. */
export interface MeasureOptions {
  /** Sampling stops when half of a median's 95% interval is at most this percentage of it. */
  readonly noisePct: number;
  /** The clock that times the kernels. */
  readonly timer: TimerChoice;
  /** GPU memory for inputs, in bytes. */
  readonly memoryBytes: number;
  readonly seed: number;
  /** The implementation of WebGPU. */
  readonly gpu: GpuChoice;
  /** Number or part of the name of the adapter to use; null for the fastest. */
  readonly adapter: string | null;
  /** Driver name for systems that do not report it. */
  readonly driver: string | undefined;
}

/** The flags that choose an adapter; `quality` has them too. */
export const ADAPTER_FLAG = {
  gpu: {
    value: "WHICH",
    default: "wgpu",
    read: oneOf<GpuChoice["gpu"]>("wgpu", "dawn"),
    help: "the implementation of WebGPU: wgpu, which is Deno's own, or dawn, which is Chrome's, " +
      "with another compiler of WGSL",
  },
  "dawn-toggles": {
    value: "NAME,..",
    read: listOf(oneOf(...DAWN_TOGGLES)),
    help: `toggles of Dawn to turn on: ${DAWN_TOGGLES.join(", ")}`,
  },
  limits: {
    value: "WHOSE",
    default: "adapter",
    read: oneOf<LimitChoice>(...LIMIT_CHOICES),
    help:
      "limits of buffers and workgroups: the adapter's own, or those that Chromium grants a page",
  },
  adapter: {
    value: "WHICH",
    defaultNote: "the one that the system calls high-performance",
    read: asWritten,
    help: "an adapter of bench --list-adapters, by its number or part of its name",
  },
} as const satisfies Flags;

/** The flag that has steps rotate over as many inputs as a model has layers. */
export const LAYERS_FLAG = {
  value: "N",
  default: "1",
  read: wholeNumber(1, 1024),
  help: "rotate over at least N sets of inputs, as the layers of a model do, which need N " +
    "times the memory of a KV cache; by default as few as keep every step cold",
} as const satisfies Flag;

/** The time limit of a case. */
export const MAX_TIME_FLAG = {
  "max-time": {
    value: "SEC",
    default: "10",
    read: seconds,
    help: `time limit for the samples of a case; each kernel still gets ${FEWEST_SAMPLES}`,
    more: "kernels whose steps are too long for the limit are left out",
  },
} as const satisfies Flags;

/** The flags of {@linkcode MeasureOptions}. */
export const MEASURE_FLAGS = {
  noise: {
    value: "PCT",
    default: "0.5",
    read: decimal(0.001, 100, "percent"),
    help: "stop when half of each median's 95% interval is below this",
    more: `a software adapter stops at ${FEWEST_SAMPLES} samples`,
  },
  timer: {
    value: "CLOCK",
    default: "auto",
    read: oneOf<TimerChoice>(...TIMER_CHOICES),
    help:
      "timestamp (the GPU's own clock), wall (time of long submissions, less precise) or auto: " +
      "timestamp if the device has usable ones, else wall",
  },
  memory: {
    value: "GB",
    default: "6",
    read: decimal(0.001, 100_000, "GB"),
    help: "GPU memory for inputs",
    more: "cold sets of large cases need more",
  },
  seed: {
    value: "N",
    default: "1",
    read: wholeNumber(0, MAX_U32),
    help: "seed of the inputs",
  },
  ...ADAPTER_FLAG,
  driver: {
    value: "NAME",
    read: asWritten,
    help: "driver to record if the system does not report it",
  },
} as const satisfies Flags;

/** The device and the settings that these flags ask for. */
export function measureOptionsOf(
  { values }: Pick<Parsed<{ readonly measure: typeof MEASURE_FLAGS }>, "values">,
): MeasureOptions {
  return {
    noisePct: values.noise,
    timer: values.timer,
    memoryBytes: 1e9 * values.memory,
    seed: values.seed,
    gpu: gpuChoiceOf(values),
    adapter: values.adapter,
    driver: values.driver ?? undefined,
  };
}

/**
 * The implementation of WebGPU that the flags ask for.
 *
 * @throws {UsageError} for toggles of Dawn with another implementation.
 */
export function gpuChoiceOf(
  values: Pick<
    Parsed<{ readonly adapter: typeof ADAPTER_FLAG }>["values"],
    "gpu" | "dawn-toggles" | "limits"
  >,
): GpuChoice {
  const toggles = values["dawn-toggles"] ?? [];
  if (toggles.length > 0 && values.gpu !== "dawn") {
    throw new UsageError(`--dawn-toggles needs --gpu dawn, not ${values.gpu}.`);
  }
  return { gpu: values.gpu, toggles, limits: values.limits };
}
