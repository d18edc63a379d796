/// <reference lib="dom" />
/**
 * Draws tokens by WebGPU into a texture, which is copied into a canvas. A canvas with a surface of
 * WebGPU would need no copy. But a browser that cannot show one, as on many software adapters,
 * loses all its devices to it, that of a run included.
 */
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
   * Draws the marks. A call while another is at work draws after it; only the latest of them does.
   *
   * @param matrix Gives the camera, for a canvas of an aspect ratio.
   * @param threshold Height of the line in the space of the places; null for no line.
   */
  draw(matrix: (aspect: number) => Mat4, threshold: number | null): Promise<void>;
}

/** Bytes of a token's place, light and fate. */
const STRIDE = 20;
/** Bytes of the uniform `View`. */
const VIEW_BYTES = 80;
/** Radius of a mark in CSS pixels. */
const RADIUS = 3.5;

/** The format of a canvas's pixels. */
const FORMAT: GPUTextureFormat = "rgba8unorm";
/** Copies of textures have rows of a multiple of this many bytes. */
const ROW_BYTES = 256;

/** The brightest mark shows. If light added up, many light tokens would look like a heavy one. */
const BRIGHTEST: GPUBlendState = {
  color: { operation: "max", srcFactor: "one", dstFactor: "one" },
  alpha: { operation: "max", srcFactor: "one", dstFactor: "one" },
};

/** Makes pictures on a device, which compiles the shaders once. */
export class Painter {
  readonly #device: GPUDevice;
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
    const targets = [{ format: FORMAT, blend: BRIGHTEST }];
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
    const context = canvas.getContext("2d")!;
    const { COPY_DST, UNIFORM, VERTEX } = GPUBufferUsage;
    const view = device.createBuffer({ size: VIEW_BYTES, usage: UNIFORM | COPY_DST });
    const bindGroup = device.createBindGroup({
      layout: this.#layout,
      entries: [{ binding: 0, resource: { buffer: view } }],
    });
    let tokens: GPUBuffer | null = null;
    let count = 0;
    let target: Target | null = null;

    const drawNow = async (matrix: (aspect: number) => Mat4, threshold: number | null) => {
      fitCanvas(canvas);
      const { width, height } = canvas;
      if (target?.width !== width || target.height !== height) {
        target?.destroy();
        target = makeTarget(device, width, height);
      }
      const uniforms = new Float32Array(VIEW_BYTES / 4);
      uniforms.set(matrix(width / height), 0);
      uniforms.set([width, height, RADIUS * devicePixelRatio, threshold ?? 0], 16);
      device.queue.writeBuffer(view, 0, uniforms);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginRenderPass({
        colorAttachments: [{
          view: target.texture.createView(),
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
      context.putImageData(await target.read(encoder), 0, 0);
    };

    let isBusy = false;
    let next: Parameters<typeof drawNow> | null = null;
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
      async draw(...request) {
        next = request;
        if (isBusy) return;
        isBusy = true;
        try {
          while (next !== null) {
            const [matrix, threshold]: Parameters<typeof drawNow> = next;
            next = null;
            await drawNow(matrix, threshold);
          }
        } finally {
          isBusy = false;
        }
      },
    };
  }
}

/** A texture to draw into. */
interface Target {
  readonly texture: GPUTexture;
  readonly width: number;
  readonly height: number;
  /** Submits the encoder's commands and reads what they drew. */
  read(encoder: GPUCommandEncoder): Promise<ImageData>;
  destroy(): void;
}

function makeTarget(device: GPUDevice, width: number, height: number): Target {
  const texture = device.createTexture({
    size: [width, height],
    format: FORMAT,
    usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_SRC,
  });
  const bytesPerRow = Math.ceil(4 * width / ROW_BYTES) * ROW_BYTES;
  const buffer = device.createBuffer({
    size: bytesPerRow * height,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  return {
    texture,
    width,
    height,
    async read(encoder) {
      encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow }, [width, height]);
      device.queue.submit([encoder.finish()]);
      await buffer.mapAsync(GPUMapMode.READ);
      const rows = new Uint8Array(buffer.getMappedRange());
      const image = new ImageData(width, height);
      for (let y = 0; y < height; y++) {
        image.data.set(rows.subarray(y * bytesPerRow, y * bytesPerRow + 4 * width), 4 * width * y);
      }
      buffer.unmap();
      return image;
    },
    destroy() {
      texture.destroy();
      buffer.destroy();
    },
  };
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
