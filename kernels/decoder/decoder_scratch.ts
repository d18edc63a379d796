/** Scratch memory that decoders share, such as those of a model's layers. */
import type { BufferSpec } from "../core/variant.ts";

/**
 * Scratch memory for decoders of one device, to be given to each as `scratch`. Decoders of equal
 * shapes and parameters use the same buffers: what they need beside the caches, the codes and the
 * inputs and outputs of each, which 32 layers would otherwise have 32 times.
 *
 * Steps of such decoders may follow each other in a pass or in several. Each step writes what it
 * reads, and leaves at zero what the next one expects at zero. WebGPU runs the dispatches of a queue
 * as if one after the other, so no two steps have the memory at a time.
 */
export class DecoderScratch {
  readonly #device: GPUDevice;
  readonly #buffers = new Map<string, GPUBuffer>();
  #destroyed = false;

  /**
   * Scratch without buffers; decoders add theirs.
   *
   * @param device The device of the decoders.
   */
  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Bytes of all buffers so far. */
  get bytes(): number {
    return [...this.#buffers.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Checks that a decoder of a device may use it.
   *
   * @throws {RangeError} one sentence, if it is of another device or was destroyed.
   */
  check(device: GPUDevice): void {
    if (device !== this.#device) throw new RangeError("the scratch is of another device");
    if (this.#destroyed) throw new RangeError("the scratch was destroyed");
  }

  /** The buffer of that name for the same bytes, with the same of them at zero, if there is one. */
  get(name: string, spec: BufferSpec): GPUBuffer | undefined {
    return this.#buffers.get(keyOf(name, spec));
  }

  /** Keeps a buffer for other decoders. */
  add(name: string, spec: BufferSpec, buffer: GPUBuffer): void {
    this.#buffers.set(keyOf(name, spec), buffer);
  }

  /** Forgets a buffer that could not be used. */
  remove(name: string, spec: BufferSpec): void {
    this.#buffers.delete(keyOf(name, spec));
  }

  /** Destroys the buffers, after the last use of the decoders that have them. */
  destroy(): void {
    this.#destroyed = true;
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }
}

function keyOf(name: string, { bytes, zeros, uniform }: BufferSpec): string {
  return JSON.stringify([name, bytes, uniform ?? false, zeros?.offset, zeros?.bytes, zeros?.every]);
}
