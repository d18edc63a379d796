/**
 * Makes plans runnable: refuses what the device cannot hold, compiles each dispatch's pipeline,
 * binds buffers by name and records the dispatches into a compute pass. Web APIs only.
 */
import type { Binding, BufferSpec, DeviceLimits, Dispatch, Kernel, Plan } from "./variant.ts";
import { refusesFit } from "./refusals.ts";
import { type Dialect, specialize } from "./wgsl.ts";
import { dialectOf } from "./wgsl_compiler.ts";

/** How WGSL is made for a device. */
export interface CompileOptions {
  /** The WGSL that the device's compiler takes (default: the device is asked). */
  readonly dialect?: Dialect;
  /** Write out marked loops (default true); software drivers compile rolled ones much faster. */
  readonly unroll?: boolean;
}

/** A dispatch with its pipeline. */
export interface ProgramStep {
  /** What runs. */
  readonly dispatch: Dispatch;
  /** Its compiled shader. */
  readonly pipeline: GPUComputePipeline;
  /** The layout of its bind group 0. */
  readonly layout: GPUBindGroupLayout;
}

/** A plan whose pipelines are compiled. */
export interface Program {
  /** What was compiled. */
  readonly plan: Plan;
  /** One per dispatch of the plan, in order. */
  readonly steps: readonly ProgramStep[];
}

/** A program with its buffers bound, ready to be recorded any number of times. */
export interface BoundProgram {
  /** What is bound. */
  readonly program: Program;
  /** One per step, in order. */
  readonly bindGroups: readonly GPUBindGroup[];
}

/**
 * Refuses, before anything is allocated, a plan that the device cannot hold.
 *
 * @throws {RangeError} naming what is needed and the limit that it exceeds.
 */
export function checkFits(plan: Plan, limits: DeviceLimits): void {
  const why = refusesFit(plan, limits);
  if (why) throw new RangeError(why);
}

/** The WGSL that runs for a dispatch, in the standard's dialect if none is given. */
export function dispatchWgsl(dispatch: Dispatch, options: CompileOptions = {}): string {
  const { kernel, params } = dispatch;
  return specialize(kernel.source, { ...options, params, features: kernel.features });
}

const pipelines = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();
const layouts = new WeakMap<GPUDevice, Map<string, GPUBindGroupLayout>>();

function cached<K extends object, V>(cache: WeakMap<K, Map<string, V>>, at: K): Map<string, V> {
  let found = cache.get(at);
  if (!found) cache.set(at, found = new Map());
  return found;
}

const BINDING_TYPE = {
  read: "read-only-storage",
  read_write: "storage",
  uniform: "uniform",
} as const satisfies Record<Binding["access"], GPUBufferBindingType>;

/** The layout of a kernel's bind group 0. */
export function bindGroupLayout(device: GPUDevice, kernel: Kernel): GPUBindGroupLayout {
  const known = cached(layouts, device);
  const key = kernel.bindings.map((binding) => binding.access).join();
  let layout = known.get(key);
  if (!layout) {
    layout = device.createBindGroupLayout({
      entries: kernel.bindings.map(({ access }, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: BINDING_TYPE[access] },
      })),
    });
    known.set(key, layout);
  }
  return layout;
}

/**
 * Compiles every dispatch of a plan; equal shaders on one device are compiled once.
 *
 * @throws {CompileError} naming the kernel and the compiler's first complaint.
 */
export async function compilePlan(
  device: GPUDevice,
  plan: Plan,
  options: CompileOptions = {},
): Promise<Program> {
  const known = cached(pipelines, device);
  const dialect = options.dialect ?? await dialectOf(device);
  const steps = await Promise.all(plan.dispatches.map(async (dispatch) => {
    const code = dispatchWgsl(dispatch, { ...options, dialect });
    const layout = bindGroupLayout(device, dispatch.kernel);
    const key = `${dispatch.kernel.bindings.map((b) => b.access).join()}\n${code}`;
    let pipeline = known.get(key);
    if (!pipeline) {
      pipeline = compileShader(device, dispatch.kernel.name, code, layout);
      known.set(key, pipeline);
      pipeline.catch(() => known.delete(key));
    }
    return { dispatch, pipeline: await pipeline, layout };
  }));
  return { plan, steps };
}

/** Thrown where the device's compiler refuses a kernel; says which, and what it said. */
export class CompileError extends Error {
  /** Name of the error class. */
  override readonly name = "CompileError";
}

async function compileShader(
  device: GPUDevice,
  label: string,
  code: string,
  layout: GPUBindGroupLayout,
): Promise<GPUComputePipeline> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code });
  const scope = device.popErrorScope();
  const complaint = await scope;
  if (complaint) throw new CompileError(`${label} does not compile: ${complaint.message.trim()}`);
  try {
    return await device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
  } catch (error) {
    throw new CompileError(`${label} makes no pipeline: ${(error as Error).message}`);
  }
}

/** Usage flags of a buffer that the suite makes: bound as its kernels do, copied to and from. */
export function bufferUsage({ uniform }: Pick<BufferSpec, "uniform">): GPUBufferUsageFlags {
  const { COPY_DST, COPY_SRC, STORAGE, UNIFORM } = GPUBufferUsage;
  return (uniform ? UNIFORM : STORAGE) | COPY_DST | COPY_SRC;
}

/** Bytes that a buffer is made of: those asked for, up to whole words of the widest loads. */
export function bufferSize(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

/** One buffer per spec, by name. */
export function allocate(
  device: GPUDevice,
  specs: Readonly<Record<string, BufferSpec>>,
): Record<string, GPUBuffer> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      device.createBuffer({
        label: name,
        size: bufferSize(spec.bytes),
        usage: bufferUsage(spec),
      }),
    ]),
  );
}

/**
 * Binds buffers by name.
 *
 * @throws {Error} naming a buffer that is missing or too small.
 */
export function bindProgram(
  device: GPUDevice,
  program: Program,
  buffers: Readonly<Record<string, GPUBuffer>>,
): BoundProgram {
  for (const [name, { bytes }] of Object.entries(program.plan.buffers)) {
    if (!buffers[name]) throw new Error(`no buffer is given for ${name}`);
    if (buffers[name].size < bytes) {
      throw new Error(`buffer ${name} has ${buffers[name].size} bytes, ${bytes} are needed`);
    }
  }
  const bindGroups = program.steps.map(({ dispatch, layout }) =>
    device.createBindGroup({
      layout,
      entries: dispatch.kernel.bindings.map(({ name }, binding) => ({
        binding,
        resource: { buffer: buffers[dispatch.rename?.[name] ?? name] },
      })),
    })
  );
  return { program, bindGroups };
}

/** Records all dispatches into a compute pass; WebGPU orders them. */
export function recordProgram(pass: GPUComputePassEncoder, bound: BoundProgram): void {
  bound.program.steps.forEach(({ dispatch, pipeline }, i) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bound.bindGroups[i]);
    pass.dispatchWorkgroups(...dispatch.workgroups);
  });
}
