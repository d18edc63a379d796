/** The checks that are the same for every plan. */
import type { BufferSpec, DeviceLimits, Dispatch, Plan } from "./variant.ts";
import type { ParamRange } from "./problem/constants.ts";
import { workgroupFacts } from "./wgsl/wgsl_facts.ts";

/** A sentence on the first parameter out of its range; undefined if all are in range. */
export function refusesRanges({ dispatches }: Plan): string | undefined {
  for (const { kernel, params } of dispatches) {
    for (const [name, value] of Object.entries(params)) {
      const range = kernel.params[name];
      if (!range || isIn(range, value)) continue;
      const allowed = "min" in range ? `from ${range.min} to ${range.max}` : range.join(", ");
      return `${name} of ${kernel.name} must be ${allowed}, got ${value}`;
    }
  }
}

function isIn(range: ParamRange, value: number): boolean {
  return "min" in range ? value >= range.min && value <= range.max : range.includes(value);
}

/** The reason that a device cannot hold a plan; undefined if it can. */
export function refusesFit(plan: Plan, limits: DeviceLimits): string | undefined {
  return refusesBuffers(plan, limits) ??
    plan.dispatches.map((dispatch) => refusesDispatch(dispatch, plan, limits))
      .find((why) => why !== undefined);
}

function refusesBuffers({ buffers }: Plan, limits: DeviceLimits): string | undefined {
  for (const [name, { bytes, bound }] of Object.entries(buffers)) {
    const why = refusesBytes(name, { bytes, bound }, limits);
    if (why) return why;
  }
}

/** The reason that a device cannot make or bind a buffer of these bytes; undefined if it can. */
export function refusesBytes(
  name: string,
  { bytes, bound = bytes }: Pick<BufferSpec, "bytes" | "bound">,
  limits: DeviceLimits,
): string | undefined {
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (bound > most) {
    return `buffer ${name} needs ${bound} bytes, this device binds ${most} at most`;
  }
  if (bytes > limits.maxBufferSize) {
    return `buffer ${name} needs ${bytes} bytes, this device makes ${limits.maxBufferSize} at most`;
  }
}

/** The most bytes of a buffer that a dispatch binds. */
export function boundBytes({ bytes, bound = bytes }: BufferSpec): number {
  return bound;
}

function refusesDispatch(
  dispatch: Dispatch,
  plan: Plan,
  limits: DeviceLimits,
): string | undefined {
  const { kernel, params, workgroups } = dispatch;
  const widest = Math.max(...workgroups);
  if (widest > limits.maxComputeWorkgroupsPerDimension) {
    return `${kernel.name} needs ${widest} workgroups in a dimension, this device allows ${limits.maxComputeWorkgroupsPerDimension}`;
  }
  const storage = kernel.bindings.filter(({ access }) => access !== "uniform").length;
  if (storage > limits.maxStorageBuffersPerShaderStage) {
    return `${kernel.name} binds ${storage} storage buffers, this device allows ${limits.maxStorageBuffersPerShaderStage}`;
  }
  for (const { name, access } of kernel.bindings) {
    const buffer = dispatch.rename?.[name] ?? name;
    const bytes = access === "uniform" ? boundBytes(plan.buffers[buffer]) : 0;
    if (bytes > limits.maxUniformBufferBindingSize) {
      return `uniform buffer ${buffer} needs ${bytes} bytes, this device binds ${limits.maxUniformBufferBindingSize} at most`;
    }
  }
  const { threads, bytes } = workgroupFacts(kernel.source, params);
  if (threads > limits.maxComputeInvocationsPerWorkgroup) {
    return `${kernel.name} needs ${threads} threads in a workgroup, this device allows ${limits.maxComputeInvocationsPerWorkgroup}`;
  }
  if (bytes > limits.maxComputeWorkgroupStorageSize) {
    return `${kernel.name} needs ${bytes} bytes of workgroup memory, this device allows ${limits.maxComputeWorkgroupStorageSize}`;
  }
}
