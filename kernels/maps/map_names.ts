/** The names of a map file's tensors: this suite's own, and those of HashAttention's authors. */
import { InvalidFileError } from "./safetensors.ts";

/** Whether a map encodes queries or keys. */
export type MapSide = "q" | "k";

/** The tensor names of one map in a file. */
export interface MapNames {
  /** Heads, counted from 0. */
  readonly heads: number;
  /** Linear layers of a head's map. */
  readonly layers: number;
  /** The name of a tensor. */
  readonly nameOf: (side: MapSide, head: number, layer: number, part: "weight" | "bias") => string;
}

/** The authors' names start with the attention layer. Their maps are state dicts of PyTorch. */
const AUTHORS = /^(\d+)\.learning_to_hash_transformation_[qk]\./;
const PART = /^[qk]\.(\d+)\.(\d+)\.(?:weight|bias)$/;

/** The most layers that a kernel can run. */
const MOST_LAYERS = 3;

/**
 * Finds a map among the names of a file's tensors.
 *
 * @param attentionLayer The attention layer to read, for the authors' names.
 * @throws {InvalidFileError} one sentence: no map, no map of that layer, several layers without a
 * choice, a tensor that is missing or does not belong to the map, or too many layers.
 */
export function findMap(names: ReadonlySet<string>, attentionLayer?: number): MapNames {
  const prefix = authorsPrefix(names, attentionLayer);
  // In the authors' Sequential, every second module is a SiLU.
  const stride = prefix === "" ? 1 : 2;
  const candidates = [...names].filter((name) => name.startsWith(prefix));
  let heads = 0;
  let layers = 0;
  for (const name of candidates) {
    const match = PART.exec(name.slice(prefix.length));
    if (!match) throw new InvalidFileError(`tensor "${name}" does not belong to a map`);
    heads = Math.max(heads, Number(match[1]) + 1);
    layers = Math.max(layers, Math.floor(Number(match[2]) / stride) + 1);
  }
  if (candidates.length === 0) throw new InvalidFileError("the file has no tensors, so no map");
  if (layers > MOST_LAYERS) {
    throw new InvalidFileError(
      `the map has ${layers} layers, but at most ${MOST_LAYERS} are supported`,
    );
  }
  const nameOf: MapNames["nameOf"] = (side, head, layer, part) =>
    `${prefix}${side}.${head}.${layer * stride}.${part}`;
  const found = { heads, layers, nameOf };
  const wanted = new Set<string>();
  for (const name of allNames(found)) {
    if (!names.has(name)) throw new InvalidFileError(`the map has no tensor "${name}"`);
    wanted.add(name);
  }
  const unknown = candidates.find((name) => !wanted.has(name));
  if (unknown) {
    const size = `${layers} layer${layers === 1 ? "" : "s"}`;
    throw new InvalidFileError(`tensor "${unknown}" does not belong to a map of ${size}`);
  }
  return found;
}

function* allNames({ heads, layers, nameOf }: MapNames): Generator<string> {
  for (let head = 0; head < heads; head++) {
    for (const side of ["q", "k"] as const) {
      for (let layer = 0; layer < layers; layer++) {
        yield nameOf(side, head, layer, "weight");
        yield nameOf(side, head, layer, "bias");
      }
    }
  }
}

/** The prefix of the attention layer's names before `q` or `k`; empty for this suite's names. */
function authorsPrefix(names: ReadonlySet<string>, attentionLayer?: number): string {
  const held = [...new Set([...names].flatMap((name) => AUTHORS.exec(name)?.[1] ?? []))]
    .sort((a, b) => Number(a) - Number(b));
  if (held.length === 0) return "";
  const chosen = attentionLayer ?? (held.length === 1 ? held[0] : undefined);
  if (chosen === undefined) {
    throw new InvalidFileError(
      `the file has maps of layers ${held.join(", ")}; choose one with the option layer`,
    );
  }
  if (!held.includes(String(chosen))) {
    throw new InvalidFileError(
      `the file has no map of layer ${chosen}, only of ${held.join(", ")}`,
    );
  }
  return `${chosen}.learning_to_hash_transformation_`;
}
