/** Test support: a decode loop over generated tokens; rows that are not yet written are poison. */
import { poison, write } from "../../kernels/core/run/run.ts";
import { createPageTable } from "../../fixtures/cache_layout.ts";
import { generateKv } from "../../fixtures/generate.ts";
import { packKv } from "../../fixtures/half.ts";
import { createRandom, type Random } from "../../fixtures/random.ts";
import {
  hasPlainCache,
  kvRowStart,
  rowRuns,
  tablePages,
} from "../../kernels/core/problem/cache_layout.ts";
import { codeHeads, kvBytes, mapNumbers, prefixOf } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { Decoder } from "../../kernels/decoder/decoder.ts";

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
  readonly #table: Uint32Array<ArrayBuffer>;

  /**
   * Poisons the caches and writes each sequence's first tokens, and the page table if there is one.
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
    this.#table = this.#p.kvPages
      ? createPageTable(this.#p, { lengths: most, seed })
      : new Uint32Array();
    if (this.#p.kvPages) {
      device.queue.writeBuffer(decoder.buffers.lengths, 4 * this.#p.batch, this.#table);
    }
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
    // A prefix that all share is that of the first sequence.
    const first = sequence === 0 ? begin : Math.max(begin, prefixOf(this.#p));
    for (const { name, words } of this.#rows) {
      const { buffer, offset } = this.decoder.bindings[name];
      for (let head = 0; head < kvHeads; head++) {
        let row = (sequence * kvHeads + head) * capacity + first;
        for (const { to, count } of this.#runs(sequence, head, first, end)) {
          const bytes = new Uint8Array(words.buffer, row * rowBytes, count * rowBytes);
          this.device.queue.writeBuffer(buffer, offset + to, bytes);
          row += count;
        }
      }
    }
  }

  /** Where tokens of a head lie in the cache, in bytes: in runs of rows without gaps. */
  #runs(
    sequence: number,
    head: number,
    begin: number,
    end: number,
  ): { to: number; count: number }[] {
    const p = this.#p;
    if (hasPlainCache(p)) {
      const rowBytes = p.headDim * kvBytes(p.dtype);
      return rowRuns(p, p.kvHeads, { sequence, head }, [begin, end])
        .map(({ first, count }) => ({ to: first * rowBytes, count }));
    }
    const pages = tablePages(p);
    const table = this.#table.subarray(sequence * pages, (sequence + 1) * pages);
    return Array.from({ length: end - begin }, (_, i) => ({
      to: kvRowStart(p, { sequence, head, token: begin + i }, table) * kvBytes(p.dtype),
      count: 1,
    }));
  }

  #writeStep(): void {
    const { batch, qHeads, headDim } = this.#p;
    const q = Float32Array.from({ length: batch * qHeads * headDim }, () => this.#random.normal());
    write(this.device, this.decoder.buffers.q, packKv(q, this.#p.qDtype ?? "f32"));
    write(this.device, this.decoder.buffers.lengths, Uint32Array.from(this.lengths));
  }
}
