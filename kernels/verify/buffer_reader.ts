/** Reads typed slices of a variant's buffers, with the layouts of layout.ts. */
import type { Params } from "../core/problem/constants.ts";
import type { ReadBytes } from "../core/variant.ts";
import { mapHeadLayers } from "../maps/learned_map.ts";
import type { MapLayer } from "../encode/reference.ts";
import type { RowOf } from "../attend/reference.ts";
import { centroidBytes, centroidDtype, pqNames } from "../encode/pq.ts";
import { headStats } from "../core/layout.ts";
import { branchRows } from "../core/system_layout.ts";
import { pageCapacity, pageListCapacity } from "../core/problem/pages.ts";
import { hasPlainCache, rowRuns, tablePages } from "../core/problem/cache_layout.ts";
import {
  centresKeys,
  codeHeads,
  codeWords,
  distanceBytes,
  kvBytes,
  listCapacity,
  mapNumbers,
  maxDistance,
  queryWords,
  valueDimOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { placedHeads, pooledTokens } from "./gathered_rows.ts";
import type { ListRef } from "./list_ref.ts";

/** The result of `make` for a key. It is called once for each key. */
function once<T>(
  made: Map<string, Promise<T>>,
  key: string,
  make: () => Promise<T>,
): Promise<T> {
  let found = made.get(key);
  if (!found) made.set(key, found = make());
  return found;
}

/** A variant's buffers, read in the units of the problem. */
export class BufferReader {
  readonly #rows = new Map<string, Promise<RowOf>>();
  readonly #gathered = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

  /** Reads nothing yet. */
  constructor(
    readonly p: Problem,
    readonly params: Params,
    private readonly readBytes: ReadBytes,
  ) {}

  async #buffer(name: string, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    // WebGPU copies 4-byte words. The slice is a copy, so it is aligned for every typed array.
    const padded = Math.ceil(byteLength / 4) * 4;
    const bytes = await this.readBytes(name, byteOffset, padded);
    return bytes.slice(0, byteLength).buffer as ArrayBuffer;
  }

  /** Rows of tokens `start` to `end` of a head, of a cache that may hold a shared prefix. */
  async #cachedRows(
    name: string,
    heads: number,
    place: { readonly sequence: number; readonly head: number },
    [start, end]: readonly [number, number],
    rowBytes: number,
  ): Promise<ArrayBuffer> {
    const all = new Uint8Array((end - start) * rowBytes);
    const runs = rowRuns(this.p, heads, place, [start, end]);
    const parts = await Promise.all(runs.map(async ({ first, count }) => {
      // Reads begin at a word.
      const before = first * rowBytes % 4;
      const bytes = before + count * rowBytes;
      const buffer = await this.#buffer(name, first * rowBytes - before, bytes);
      return new Uint8Array(buffer).subarray(before);
    }));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all.buffer;
  }

  /** f32 elements `start` to `start + count`. */
  async f32(name: string, start: number, count: number): Promise<Float32Array> {
    return new Float32Array(await this.#buffer(name, 4 * start, 4 * count));
  }

  /** u32 elements `start` to `start + count`. */
  async u32(name: string, start: number, count: number): Promise<Uint32Array> {
    return new Uint32Array(await this.#buffer(name, 4 * start, 4 * count));
  }

  /** i8 elements `start` to `start + count`; reads begin at a word. */
  async i8(name: string, start: number, count: number): Promise<Int8Array> {
    return new Int8Array(await this.#buffer(name, start, count));
  }

  /** f16 elements `start` to `start + count`, of which `start` is even. */
  async f16(name: string, start: number, count: number): Promise<Float32Array> {
    return decode(await this.#buffer(name, 2 * start, 2 * count), "f16");
  }

  /** Rows `first` to `first + count` of a buffer of rows of K or V, by their place among them. */
  async rows(name: string, first: number, count: number): Promise<RowOf> {
    const { headDim } = this.p;
    const rows = await this.elements(name, first * headDim, count * headDim);
    return (row) => rows.subarray(row * headDim, (row + 1) * headDim);
  }

  /** Row `row` of a buffer [rows, head dim] in f32, or f16 of `q` and `out`; `out` has its own length. */
  headRow(name: string, row: number): Promise<Float32Array> {
    const { headDim, qDtype, outDtype } = this.p;
    const elements = name === "out" ? valueDimOf(this.p) : headDim;
    const dtype = name === "out" ? outDtype : name === "q" ? qDtype : undefined;
    return this[dtype ?? "f32"](name, row * elements, elements);
  }

  /**
   * Rows of one KV head of `keys` or `values`, by token, for tokens `start` to `end`; of NSA's caches
   * by their rows. Each range is read and decoded once, and the lists of a KV head share it.
   */
  cacheRows(
    name: "keys" | "values" | "branch_keys" | "branch_values",
    { sequence, kvHead }: ListRef,
    start: number,
    end: number,
  ): Promise<RowOf> {
    const { kvHeads, dtype } = this.p;
    if (!name.startsWith("branch_") && !hasPlainCache(this.p)) {
      return once(
        this.#rows,
        `${name} ${sequence} ${kvHead} ${start} ${end}`,
        () => this.#placedRows(name, { sequence, kvHead }, start, end),
      );
    }
    const headDim = name === "branch_values" ? valueDimOf(this.p) : this.p.headDim;
    const rowBytes = headDim * kvBytes(dtype);
    const read = () => {
      const place = { sequence, head: kvHead };
      if (!name.startsWith("branch_")) {
        return this.#cachedRows(name, kvHeads, place, [start, end], rowBytes);
      }
      const first = (sequence * kvHeads + kvHead) * branchRows(this.p) + start;
      return this.#buffer(name, first * rowBytes, (end - start) * rowBytes);
    };
    const key = `${name} ${sequence} ${kvHead} ${start} ${end}`;
    return once(this.#rows, key, async () => {
      const rows = decode(await read(), dtype);
      return (token) => rows.subarray((token - start) * headDim, (token - start + 1) * headDim);
    });
  }

  /** Rows of a cache with strides or pages of its own, by token. */
  async #placedRows(
    name: string,
    { sequence, kvHead }: { readonly sequence: number; readonly kvHead: number },
    start: number,
    end: number,
  ): Promise<RowOf> {
    const { headDim, dtype } = this.p;
    const heads = await once(
      this.#gathered,
      `${name} ${sequence} ${start} ${end}`,
      async () => {
        const { batch } = this.p;
        const pages = tablePages(this.p);
        const table = pages === 0
          ? undefined
          : await this.u32("lengths", batch + sequence * pages, pages);
        return await placedHeads(this.p, this.readBytes, { name, sequence, start, end, table });
      },
    );
    const headBytes = (end - start) * headDim * kvBytes(dtype);
    const rows = decode(heads.slice(kvHead * headBytes, (kvHead + 1) * headBytes).buffer, dtype);
    return (token) => rows.subarray((token - start) * headDim, (token - start + 1) * headDim);
  }

  /**
   * Rows of one KV head of `pool_keys` or `pool_values`, by token of the sequence, found through
   * `token_index`.
   */
  pooledRows(name: "pool_keys" | "pool_values", ref: ListRef): Promise<RowOf> {
    const { kvHeads, headDim, dtype, capacity } = this.p;
    const { sequence, kvHead, length } = ref;
    return once(this.#rows, `${name} ${sequence} ${kvHead}`, async () => {
      const tokens = await once(
        this.#gathered,
        `${name} ${sequence}`,
        async () => {
          const index = await this.u32("token_index", sequence * capacity, length);
          return await pooledTokens(this.p, this.readBytes, name, index);
        },
      );
      const rowBytes = headDim * kvBytes(dtype);
      const bytes = new Uint8Array(length * rowBytes);
      for (let token = 0; token < length; token++) {
        const from = (token * kvHeads + kvHead) * rowBytes;
        bytes.set(tokens.subarray(from, from + rowBytes), token * rowBytes);
      }
      const rows = decode(bytes.buffer, dtype);
      return (token) => rows.subarray(token * headDim, (token + 1) * headDim);
    });
  }

  /** Values of the caches' type, `start` to `start + count`. */
  async elements(name: string, start: number, count: number): Promise<Float32Array> {
    const bytes = kvBytes(this.p.dtype);
    return decode(await this.#buffer(name, start * bytes, count * bytes), this.p.dtype);
  }

  /** The map of a code head. */
  async map(name: "query_map" | "key_map", head: number): Promise<MapLayer[]> {
    const { dtype } = this.p.map;
    const bytes = mapNumbers(this.p) * (dtype === "f16" ? 2 : 4);
    return mapHeadLayers(this.p, decode(await this.#buffer(name, head * bytes, bytes), dtype));
  }

  /**
   * Codes of the list's query heads, [queries, 1 + planes, words]; the buffer starts with all query
   * codes.
   */
  queryCodes({ queryRows }: ListRef, buffer = "query_codes"): Promise<Uint32Array> {
    const words = queryWords(this.p);
    return this.u32(buffer, queryRows[0] * words, queryRows.length * words);
  }

  /** Codes of the list's tokens `start` to `start + tokens`, [tokens, words]. */
  async codes(
    { sequence, codeHead }: ListRef,
    start: number,
    tokens: number,
  ): Promise<Uint32Array> {
    const place = { sequence, head: codeHead };
    const bytes = 4 * codeWords(this.p);
    const range = [start, start + tokens] as const;
    return new Uint32Array(
      await this.#cachedRows("codes", codeHeads(this.p), place, range, bytes),
    );
  }

  /** Bytes of the factors of the list's tokens `start` to `start + tokens`. */
  async factors(
    { sequence, codeHead }: ListRef,
    start: number,
    tokens: number,
  ): Promise<Uint8Array> {
    const place = { sequence, head: codeHead };
    const range = [start, start + tokens] as const;
    return new Uint8Array(
      await this.#cachedRows("factors", codeHeads(this.p), place, range, 1),
    );
  }

  /** The sums of squared factor values of the list's KV head: of n tokens at n % 2. */
  factorSums({ sequence, codeHead }: ListRef): Promise<Float32Array> {
    const row = sequence * codeHeads(this.p) + codeHead;
    return this.f32("key_stats", headStats(this.p) * row, 2);
  }

  /** The mean key of the list's KV head, which is subtracted from keys; null if none is. */
  async meanKey({ sequence, codeHead }: ListRef): Promise<Float32Array | null> {
    if (!centresKeys(this.p)) return null;
    const row = sequence * codeHeads(this.p) + codeHead;
    return await this.f32("key_stats", headStats(this.p) * row + 2, this.p.headDim);
  }

  /** Product-quantised codes of the list's KV head, laid out as in encode/pq.ts. */
  async pqCodes(
    { sequence, kvHead }: ListRef,
    parts: number,
    buffer = pqNames(parts).pq_codes,
  ): Promise<Uint8Array> {
    const bytes = this.p.capacity * parts;
    const head = sequence * this.p.kvHeads + kvHead;
    return new Uint8Array(await this.#buffer(buffer, head * bytes, bytes));
  }

  /** Centroids of the list's KV head, laid out as in encode/pq.ts. */
  async centroids({ sequence, kvHead }: ListRef, parts: number): Promise<Float32Array> {
    const bytes = centroidBytes(this.p);
    const head = sequence * this.p.kvHeads + kvHead;
    const buffer = await this.#buffer(pqNames(parts).centroids, head * bytes, bytes);
    return decode(buffer, centroidDtype(this.p) === 1 ? "f16" : "f32");
  }

  /** Distances of the list's tokens. */
  async distances({ list, length }: ListRef): Promise<Uint8Array | Uint16Array> {
    const size = distanceBytes(this.p);
    const start = list * this.p.capacity * size;
    const buffer = await this.#buffer("distances", start, length * size);
    return size === 1 ? new Uint8Array(buffer) : new Uint16Array(buffer);
  }

  /** Scores of the list's tokens. */
  scores({ list, length }: ListRef): Promise<Float32Array> {
    return this.f32("scores", list * this.p.capacity, length);
  }

  /** Bounds [2, D] of pages `start` to `end` of the list's KV head, by page. */
  pageBounds({ sequence, kvHead }: ListRef, start: number, end: number): Promise<RowOf> {
    const { kvHeads, headDim, dtype } = this.p;
    const first = (sequence * kvHeads + kvHead) * pageCapacity(this.p) + start;
    return once(this.#rows, `page_bounds ${first} ${end}`, async () => {
      const bytes = 2 * headDim * kvBytes(dtype);
      const buffer = await this.#buffer("page_bounds", first * bytes, (end - start) * bytes);
      const rows = decode(buffer, dtype);
      return (page) =>
        rows.subarray((page - start) * 2 * headDim, (page - start + 1) * 2 * headDim);
    });
  }

  /** Scores of the first `pages` pages of the list. */
  pageScores({ list }: ListRef, pages: number): Promise<Float32Array> {
    return this.f32("page_scores", list * pageCapacity(this.p), pages);
  }

  /** The first `count` pages of the list, in their order in the buffer. */
  selectedPages({ list }: ListRef, count: number): Promise<Uint32Array> {
    return this.u32("selected_pages", list * pageListCapacity(this.p), count);
  }

  /** The list's entry in `selected_page_tokens`. */
  async selectedPageTokens({ list }: ListRef): Promise<number> {
    return (await this.u32("selected_page_tokens", list, 1))[0];
  }

  /** Histograms of the list's blocks that hold tokens, [blocks, max distance + 1]. */
  blockHistograms({ list, length }: ListRef): Promise<Uint32Array> {
    const bins = maxDistance(this.p) + 1;
    const blocks = Math.ceil(this.p.capacity / this.params.BLOCK);
    const used = Math.ceil(length / this.params.BLOCK);
    return this.u32("block_histograms", list * blocks * bins, used * bins);
  }

  /** The first `count` entries of the list, in their order in the buffer. */
  selected({ list }: ListRef, count: number): Promise<Uint32Array> {
    return this.u32("selected", list * listCapacity(this.p), count);
  }

  /** The list's entry in `selected_counts`. */
  async selectedCount({ list }: ListRef): Promise<number> {
    return (await this.u32("selected_counts", list, 1))[0];
  }

  /** The partials of a query row: numerators [splits, D], statistics [splits, 2]. */
  async partials(row: number): Promise<[Float32Array, Float32Array]> {
    const splits = this.params.SPLITS;
    const rowNumbers = splits * this.p.headDim;
    return await Promise.all([
      this.f32("partial_out", row * rowNumbers, rowNumbers),
      this.f32("partial_stats", row * splits * 2, splits * 2),
    ]);
  }
}

/** Elements of K, V or a map as f32, which represents every f16 and bf16 exactly. */
function decode(buffer: ArrayBuffer, dtype: "f16" | "bf16" | "f32"): Float32Array {
  if (dtype === "f32") return new Float32Array(buffer);
  if (dtype === "f16") return new Float32Array(new Float16Array(buffer));
  const halves = new Uint16Array(buffer);
  const words = Uint32Array.from(halves, (half) => half << 16);
  return new Float32Array(words.buffer);
}
