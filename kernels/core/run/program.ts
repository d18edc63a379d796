/**
 * Makes plans runnable: refuses plans that the device cannot hold, compiles each dispatch's
 * pipeline, binds buffers by name and records the dispatches into a compute pass.
 */
import type { Binding } from "../wgsl/wgsl_facts.ts";
import type { BufferSpec, DeviceLimits, Dispatch, Kernel, Plan } from "../variant.ts";
import { refusesFit } from "../refusals.ts";
import { type Dialect, specialize } from "../wgsl/wgsl.ts";
import { dialectOf } from "../wgsl/wgsl_compiler.ts";

/** How WGSL is compiled for a device. */
export interface CompileOptions {
  /** The WGSL dialect of the device's compiler (default: found out on the device). */
  readonly dialect?: Dialect;
  /** Unroll marked loops (default true); software drivers compile rolled loops much faster. */
  readonly unroll?: boolean;
}

/** A dispatch with its pipeline. */
export interface ProgramStep {
  /** The dispatch that runs. */
  readonly dispatch: Dispatch;
  /** Its compiled shader. */
  readonly pipeline: GPUComputePipeline;
  /** The layout of its bind group 0. */
  readonly layout: GPUBindGroupLayout;
}

/** A plan whose pipelines are compiled. */
export interface Program {
  /** The plan that was compiled. */
  readonly plan: Plan;
  /** One per dispatch of the plan, in order. */
  readonly steps: readonly ProgramStep[];
}

/** A program with its buffers bound, ready to be recorded any number of times. */
export interface BoundProgram {
  /** The program that the buffers are bound for. */
  readonly program: Program;
  /** One per step, in order. */
  readonly bindGroups: readonly GPUBindGroup[];
}

/**
 * Refuses a plan that the device cannot hold, before anything is allocated.
 *
 * @throws {RangeError} naming the amount needed and the limit that it exceeds.
 */
export function checkFits(plan: Plan, limits: DeviceLimits): void {
  const why = refusesFit(plan, limits);
  if (why) throw new RangeError(why);
}

/** The WGSL that runs for a dispatch, in the standard dialect if none is given. */
export function dispatchWgsl(dispatch: Dispatch, options: CompileOptions = {}): string {
  const { kernel, params } = dispatch;
  return specialize(kernel.source, { ...options, params, features: kernel.features });
}

const pipelines = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();
const layouts = new WeakMap<GPUDevice, Map<string, GPUBindGroupLayout>>();

function cached<K extends object, V>(cache: WeakMap<K, Map<string, V>>, key: K): Map<string, V> {
  let found = cache.get(key);
  if (!found) cache.set(key, found = new Map());
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
 * @throws {CompileError} with the kernel's name and the compiler's message.
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

/**
 * The device's compiler refuses a kernel. The message has the kernel's name and the compiler's
 * text.
 */
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

/** Usage flags of the suite's buffers: kernels bind them, and copies read and write them. */
export function bufferUsage(
  { uniform, role = "input" }: Partial<Pick<BufferSpec, "uniform" | "role">>,
): GPUBufferUsageFlags {
  const { COPY_DST, COPY_SRC, STORAGE, UNIFORM } = GPUBufferUsage;
  // A kernel writes a uniform buffer that is not an input.
  const bound = !uniform ? STORAGE : role === "input" ? UNIFORM : UNIFORM | STORAGE;
  return bound | COPY_DST | COPY_SRC;
}

/** Size of a buffer for `bytes` bytes: rounded up to 16, the width of the widest loads. */
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

/** A buffer, or a part of one: `offset` is 0 by default, and `size` all that is behind it. */
export type BufferOrPart = GPUBuffer | GPUBufferBinding;

/** A buffer or a part of one, with its offset and size in bytes. */
export function bindingOf(given: BufferOrPart): Required<GPUBufferBinding> {
  const { buffer, offset = 0, size } = "buffer" in given ? given : { buffer: given };
  return { buffer, offset, size: size ?? buffer.size - offset };
}

/**
 * Binds buffers, or parts of them, by name.
 *
 * @throws {Error} naming a buffer that is missing or too small.
 */
export function bindProgram(
  device: GPUDevice,
  program: Program,
  buffers: Readonly<Record<string, BufferOrPart>>,
): BoundProgram {
  for (const [name, { bytes }] of Object.entries(program.plan.buffers)) {
    if (!buffers[name]) throw new Error(`no buffer is given for ${name}`);
    const { size } = bindingOf(buffers[name]);
    if (size < bytes) throw new Error(`buffer ${name} has ${size} bytes, ${bytes} are needed`);
  }
  const bindGroups = program.steps.map(({ dispatch, layout }) =>
    device.createBindGroup({
      layout,
      entries: dispatch.kernel.bindings.map(({ name }, binding) => {
        const bufferName = dispatch.rename?.[name] ?? name;
        const whole = bindingOf(buffers[bufferName]);
        const place = dispatch.places?.[bufferName];
        const part = place
          ? { offset: whole.offset + place.offset, size: bufferSize(place.bytes) }
          : {};
        return { binding, resource: { ...whole, ...part } };
      }),
    })
  );
  return { program, bindGroups };
}

/**
 * Records all dispatches into a compute pass; WebGPU orders them.
 *
 * @param most Tokens that dispatches with workgroups for tokens cover (default: the capacity).
 */
export function recordProgram(
  pass: GPUComputePassEncoder,
  bound: BoundProgram,
  most = Infinity,
): void {
  bound.program.steps.forEach(({ dispatch, pipeline }, i) => {
    const { tokens = 0, workgroups: [x, y, z] } = dispatch;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bound.bindGroups[i]);
    pass.dispatchWorkgroups(tokens > 0 ? Math.min(x, Math.ceil(most / tokens)) : x, y, z);
  });
}
