/** Test support: a decode loop over generated tokens; rows that are not yet written are poison. */
import { poison, write } from "../kernels/core/run.ts";
import { generateKv } from "../fixtures/generate.ts";
import { packKv } from "../fixtures/half.ts";
import { createRandom, type Random } from "../fixtures/random.ts";
import { codeHeads, kvBytes, mapNumbers, type Problem } from "../kernels/core/problem.ts";
import type { Decoder } from "../kernels/decoder/decoder.ts";

/** Random maps with biases, scaled to keep pre-activations away from 0. */
export function anyMaps(p: Problem, seed: number): Uint32Array<ArrayBuffer> {
  const random = createRandom(seed, 201);
  const numbers = Float32Array.from(
    { length: codeHeads(p) * mapNumbers(p) },
    () => random.normal() / 8,
  );
  return packKv(numbers, p.map.dtype);
}

/** Writes the K and V rows and the queries of growing sequences to a decoder's buffers. */
export class TokenFeed {
  readonly #p: Problem;
  readonly #rows: readonly { readonly name: string; readonly words: Uint32Array<ArrayBuffer> }[];
  readonly #random: Random;

  /**
   * Poisons the caches and writes each sequence's first tokens.
   *
   * @param lengths Tokens of each sequence; {@linkcode TokenFeed.append} increments them.
   * @param most Most tokens that each sequence can reach.
   */
  constructor(
    readonly device: GPUDevice,
    readonly decoder: Decoder,
    readonly lengths: number[],
    most: readonly number[],
    seed: number,
  ) {
    this.#p = decoder.problem;
    this.#random = createRandom(seed, 202);
    const { k, v } = generateKv({ ...this.#p, kvLen: most, seed });
    this.#rows = [
      { name: "keys", words: packKv(k, this.#p.dtype) },
      { name: "values", words: packKv(v, this.#p.dtype) },
    ];
    for (const { name } of this.#rows) poison(device, decoder.buffers[name]);
    lengths.forEach((length, sequence) => this.#write(sequence, 0, length));
    this.#writeStep();
  }

  /** Appends a token to every sequence: writes its rows, new queries and the lengths. */
  append(): void {
    this.lengths.forEach((length, sequence) => {
      this.lengths[sequence]++;
      this.#write(sequence, length, length + 1);
    });
    this.#writeStep();
  }

  #write(sequence: number, begin: number, end: number): void {
    const { kvHeads, capacity, headDim, dtype } = this.#p;
    const rowBytes = headDim * kvBytes(dtype);
    for (const { name, words } of this.#rows) {
      for (let head = 0; head < kvHeads; head++) {
        const at = ((sequence * kvHeads + head) * capacity + begin) * rowBytes;
        const bytes = new Uint8Array(words.buffer, at, (end - begin) * rowBytes);
        const { buffer, offset } = this.decoder.bindings[name];
        this.device.queue.writeBuffer(buffer, offset + at, bytes);
      }
    }
  }

  #writeStep(): void {
    const { batch, qHeads, headDim } = this.#p;
    const q = Float32Array.from({ length: batch * qHeads * headDim }, () => this.#random.normal());
    write(this.device, this.decoder.buffers.q, packKv(q, this.#p.qDtype ?? "f32"));
    write(this.device, this.decoder.buffers.lengths, Uint32Array.from(this.lengths));
  }
}
