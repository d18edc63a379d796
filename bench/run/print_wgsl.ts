/** The texts of `--list` and `--print-wgsl`. */
import { type HandOverChoice, openCheckedDevice } from "../measure/device/checked_device.ts";
import { caveatOf, MODELS } from "../../fixtures/models.ts";
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import { DEFAULT_LIMITS } from "../../kernels/core/device_limits.ts";
import { planOn } from "../../kernels/core/pieces.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { shapeName } from "../../kernels/core/problem/derived.ts";
import { dispatchWgsl } from "../../kernels/core/run/program.ts";
import { EVERY_VARIANT, RIVALS, VARIANT_FEATURES, VARIANTS } from "../../kernels/core/registry.ts";
import { type Dialect, STANDARD_DIALECT } from "../../kernels/core/wgsl/wgsl.ts";
import { dialectOf } from "../../kernels/core/wgsl/wgsl_compiler.ts";
import { counted } from "../base/counted.ts";
import { CASE_SETS } from "../cases/case_sets.ts";
import { NoAdapterError, openAdapter, type OpenOptions } from "../edge/open_adapter.ts";
import { wrapText } from "../tables/text_table.ts";

/**
 * Every kernel and rival with its stage and the device features that it needs, every model with its
 * shape, and every set of cases.
 *
 * @param width Maximum characters per line; a text too long to fit beside its name goes below it.
 */
export function listText(width = Infinity): string {
  const entry = (head: string, text: string) =>
    head.length + text.length <= width
      ? [head + text]
      : [head.trimEnd(), ...wrapText(`    ${text}`, width)];
  const nameWidth = Math.max(...EVERY_VARIANT.map(({ name }) => name.length));
  const kernels = (variants: readonly Variant[]) =>
    variants.flatMap(({ name, stage, description, features }) => {
      const needs = features.length > 0 ? ` (needs ${features.join(", ")})` : "";
      return entry(`  ${name.padEnd(nameWidth)} ${stage.padEnd(14)}`, description + needs);
    });
  const models = MODELS.flatMap((model) => {
    const caveat = caveatOf(model);
    return [
      `  ${model.name.padEnd(30)}${shapeName(model).padEnd(12)}up to ${model.maxContext} tokens`,
      ...(caveat === null ? [] : wrapText(`    ${caveat}`, width)),
    ];
  });
  const sets = CASE_SETS.flatMap(({ name, description, cases }) => [
    ...entry(`  ${name.padEnd(30)}`, description),
    ...cases.map(({ label, problem: { batch, kvLen } }) =>
      `    ${label.padEnd(28)}batch ${batch}, ${counted(kvLen, "token")}`
    ),
  ]);
  const blocks = [
    ["Kernels (--kernels)", ...kernels(VARIANTS)],
    ["Rivals, timed if named (--kernels rivals for all)", ...kernels(RIVALS)],
    ["Models (--models)", ...models],
    ["Sets of cases (--set)", ...sets],
  ];
  return blocks.map((lines) => lines.join("\n")).join("\n\n");
}

/** The device and the hand-over to print a variant for. */
export interface WgslOptions {
  /** The adapter to ask for (default: the fastest). */
  readonly adapter?: OpenOptions;
  /** How partials reach the workgroup that merges them (default `auto`). */
  readonly handOver?: HandOverChoice;
}

/**
 * The WGSL of each dispatch of a variant with its default parameters for this machine's device, as
 * the benchmark passes it to the compiler. Without an adapter, it is for the default limits of
 * WebGPU.
 *
 * @throws {RangeError} if the variant does not support the problem.
 * @throws {UsageError} if the device fails the check of a hand-over that the caller named.
 */
export async function wgslText(
  variant: Variant,
  p: Problem,
  options: WgslOptions = {},
): Promise<string> {
  const { limits, dialect, unroll } = await readDevice(options);
  const params = variant.defaults(p, limits);
  const refusal = variant.refuses(p, params, limits);
  const notes = refusal ? [`// This device cannot run it: ${refusal}.`] : [];
  const { dispatches } = planOn(variant, p, params, limits);
  const texts = dispatches.map((dispatch, i) => {
    const { kernel, workgroups } = dispatch;
    return `// Dispatch ${i + 1} of ${dispatches.length}: ${kernel.name}, ` +
      `${workgroups.join(" x ")} workgroups\n` +
      dispatchWgsl(dispatch, { dialect, unroll });
  });
  return [...notes, ...texts].join("\n");
}

interface DeviceTraits {
  limits: DeviceLimits;
  dialect: Dialect;
  unroll: boolean;
}

async function readDevice(
  { adapter, handOver = "auto" }: WgslOptions,
): Promise<DeviceTraits> {
  try {
    const host = await openAdapter(adapter);
    const { device, limits } = await openCheckedDevice(host, VARIANT_FEATURES, handOver);
    const dialect = await dialectOf(device);
    device.destroy();
    return { limits, dialect, unroll: !host.info.software };
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    const limits = handOver === "auto" ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, handOver };
    return { limits, dialect: STANDARD_DIALECT, unroll: true };
  }
}
