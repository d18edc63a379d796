/** Draws tokens into a canvas by WebGPU. */
import type { Mat4 } from "wgpu-matrix";
import source from "./tokens.wgsl" with { type: "text" };

/** Tokens to draw. */
export interface Marks {
  /** Places, [tokens, 3]. */
  readonly places: Float32Array;
  /** The light of each token, 0 to 1. */
  readonly light: Float32Array;
  /** Values of `FATE`. */
  readonly fates: Uint8Array;
}

/** A picture of tokens in one canvas. */
export interface Picture {
  set(marks: Marks): void;
  /**
   * Draws the marks.
   *
   * @param threshold Height of the line in the space of the places; null for no line.
   */
  draw(matrix: Mat4, threshold: number | null): void;
}

/** Bytes of a token's place, light and fate. */
const STRIDE = 20;
/** Bytes of the uniform `View`. */
const VIEW_BYTES = 80;
/** Radius of a mark in CSS pixels. */
const RADIUS = 3.5;

/** Light adds up. */
const ADD: GPUBlendState = {
  color: { srcFactor: "one", dstFactor: "one" },
  alpha: { srcFactor: "one", dstFactor: "one" },
};

/** Makes pictures on a device, which compiles the shaders once. */
export class Painter {
  readonly #device: GPUDevice;
  readonly #format = navigator.gpu.getPreferredCanvasFormat();
  readonly #marks: GPURenderPipeline;
  readonly #line: GPURenderPipeline;
  readonly #layout: GPUBindGroupLayout;

  /** Compiles the shaders. */
  constructor(device: GPUDevice) {
    this.#device = device;
    const module = device.createShaderModule({ label: "tokens", code: source });
    this.#layout = device.createBindGroupLayout({
      entries: [{
        binding: 0,
        visibility: GPUShaderStage.VERTEX | GPUShaderStage.FRAGMENT,
        buffer: { type: "uniform" },
      }],
    });
    const layout = device.createPipelineLayout({ bindGroupLayouts: [this.#layout] });
    const targets = [{ format: this.#format, blend: ADD }];
    this.#marks = device.createRenderPipeline({
      layout,
      vertex: {
        module,
        entryPoint: "mark_vertex",
        buffers: [{
          arrayStride: STRIDE,
          stepMode: "instance",
          attributes: [
            { shaderLocation: 0, offset: 0, format: "float32x3" },
            { shaderLocation: 1, offset: 12, format: "float32" },
            { shaderLocation: 2, offset: 16, format: "uint32" },
          ],
        }],
      },
      fragment: { module, entryPoint: "mark_fragment", targets },
      primitive: { topology: "triangle-strip" },
    });
    this.#line = device.createRenderPipeline({
      layout,
      vertex: { module, entryPoint: "threshold_vertex" },
      fragment: { module, entryPoint: "threshold_fragment", targets },
      primitive: { topology: "line-list" },
    });
  }

  /** A picture in a canvas. */
  picture(canvas: HTMLCanvasElement): Picture {
    const device = this.#device;
    const context = canvas.getContext("webgpu")!;
    context.configure({ device, format: this.#format, alphaMode: "opaque" });
    const { COPY_DST, UNIFORM, VERTEX } = GPUBufferUsage;
    const view = device.createBuffer({ size: VIEW_BYTES, usage: UNIFORM | COPY_DST });
    const bindGroup = device.createBindGroup({
      layout: this.#layout,
      entries: [{ binding: 0, resource: { buffer: view } }],
    });
    let tokens: GPUBuffer | null = null;
    let count = 0;
    return {
      set(marks) {
        const bytes = interleave(marks);
        count = marks.fates.length;
        if (tokens === null || tokens.size < bytes.byteLength) {
          tokens?.destroy();
          tokens = device.createBuffer({ size: bytes.byteLength, usage: VERTEX | COPY_DST });
        }
        device.queue.writeBuffer(tokens, 0, bytes);
      },
      draw: (matrix, threshold) => {
        fitCanvas(canvas);
        const uniforms = new Float32Array(VIEW_BYTES / 4);
        uniforms.set(matrix, 0);
        const radius = RADIUS * devicePixelRatio;
        uniforms.set([canvas.width, canvas.height, radius, threshold ?? 0], 16);
        device.queue.writeBuffer(view, 0, uniforms);
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginRenderPass({
          colorAttachments: [{
            view: context.getCurrentTexture().createView(),
            clearValue: { r: 0.02, g: 0.027, b: 0.047, a: 1 },
            loadOp: "clear",
            storeOp: "store",
          }],
        });
        pass.setBindGroup(0, bindGroup);
        if (tokens !== null && count > 0) {
          pass.setPipeline(this.#marks);
          pass.setVertexBuffer(0, tokens);
          pass.draw(4, count);
        }
        if (threshold !== null) {
          pass.setPipeline(this.#line);
          pass.draw(2);
        }
        pass.end();
        device.queue.submit([encoder.finish()]);
      },
    };
  }
}

function interleave({ places, light, fates }: Marks): ArrayBuffer {
  const bytes = new ArrayBuffer(STRIDE * fates.length);
  const [floats, words] = [new Float32Array(bytes), new Uint32Array(bytes)];
  for (let token = 0; token < fates.length; token++) {
    const at = token * STRIDE / 4;
    floats.set(places.subarray(3 * token, 3 * token + 3), at);
    floats[at + 3] = light[token];
    words[at + 4] = fates[token];
  }
  return bytes;
}

/** Makes a canvas as sharp as the screen. */
function fitCanvas(canvas: HTMLCanvasElement): void {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
