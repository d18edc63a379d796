/** The attention heads that ship with the suite: a trace of each, and the maps trained for it. */

/** Files of one head. */
export interface ShippedHead {
  readonly trace: URL;
  /** The learned map of HashAttention. */
  readonly map: URL;
  /** The linear map that a KV head shares, as HATA has it. */
  readonly hataMap: URL;
}

const fixture = (path: string) => new URL(`../../../fixtures/${path}`, import.meta.url);

/** A retrieval head and a diffuse one; `fixtures/README.md` describes them. */
export const SHIPPED_HEADS: readonly ShippedHead[] = ["L7-kv1", "L0-kv0"].map((head) => ({
  trace: fixture(`traces/sympy-${head}-5632.safetensors`),
  map: fixture(`maps/${head}.safetensors`),
  hataMap: fixture(`maps/hata-${head}.safetensors`),
}));
