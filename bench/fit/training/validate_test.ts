import { assertAlmostEquals, assertNotEquals } from "@std/assert";
import { encodeReference, packBits } from "../../../kernels/encode/reference.ts";
import { mapHeadLayers } from "../../../kernels/maps/learned_map.ts";
import { measure } from "../../selection/measure.ts";
import { toLearnedMap } from "./model.ts";
import type { HostTensor } from "./sample.ts";
import { smallRun } from "../testing_trace.ts";
import { createValidate, type Encode } from "./validate.ts";

const WINDOWS = { sink: 8, recent: 8 };

Deno.test("createValidate() measures the mass that `quality` does for the same codes", async () => {
  const { shape, start, split, recipe } = await smallRun("--val", "b,c");
  const map = toLearnedMap(shape, start.state.params, {});
  const codeOf = (side: "query" | "key", head: number, row: ArrayLike<number>) =>
    packBits(encodeReference(row, mapHeadLayers(shape, map[side], head)));

  const sums = split.validation.map((context) => {
    const { k, headDim, kvLen } = context;
    const keysOf = (head: number) =>
      Array.from(
        { length: kvLen },
        (_, token) => codeOf("key", head, k.subarray(token * headDim, (token + 1) * headDim))[0],
      );
    const keys = [keysOf(0), keysOf(1)];
    const costs = ({ head, q }: { readonly head: number; readonly q: Float32Array }) => {
      const [query] = codeOf("query", head, q);
      return keys[head].map((key) => ((key ^ query) >>> 0).toString(2).replaceAll("0", "").length);
    };
    const selectors = [{ bitsPerToken: 32, costs }];
    return measure({ context, selectors, budgets: [{ count: 10 }], windows: WINDOWS })[0][0];
  });
  const share = (head: number) =>
    sums.reduce((sum, heads) => sum + heads[head].middleCaught, 0) /
    sums.reduce((sum, heads) => sum + heads[head].middle, 0);

  const encode: Encode = (side, { shape: sizes, data }: HostTensor) => {
    const dim = sizes[sizes.length - 1];
    const rows = sizes[sizes.length - 2];
    const out: number[] = [];
    for (let head = 0; head < shape.heads; head++) {
      const layers = mapHeadLayers(shape, map[side], head);
      for (let row = 0; row < rows; row++) {
        const at = (sizes.length === 3 ? head * rows + row : row) * dim;
        out.push(...encodeReference(data.subarray(at, at + dim), layers));
      }
    }
    return Promise.resolve(Float32Array.from(out));
  };
  const plain = { ...recipe, validationOffset: 0 };
  const mass = await createValidate(split.validation, WINDOWS, plain, 10000)(encode);
  assertAlmostEquals(mass, (share(0) + share(1)) / 2, 1e-9);
  // A rotation changes the codes but not the attention.
  assertNotEquals(await createValidate(split.validation, WINDOWS, recipe, 10000)(encode), mass);
});
