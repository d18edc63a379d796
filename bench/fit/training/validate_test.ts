import { assertAlmostEquals, assertNotEquals } from "@std/assert";
import { encodeReference, magnitudeOf, magnitudeUnits } from "../../../kernels/encode/reference.ts";
import { mapHeadLayers } from "../../../kernels/maps/learned_map.ts";
import { measure } from "../../selection/measure.ts";
import { toLearnedMap } from "./model/model.ts";
import type { HostTensor } from "./data/sample.ts";
import { smallRun } from "../testing_trace.ts";
import { createValidate, type Encode } from "./validate.ts";

const WINDOWS = { sink: 8, recent: 8 };

for (const [sharing, planes] of [["head", 0], ["head", 2], ["kv", 0], ["kv", 3]] as const) {
  const settings = `${planes} planes, sharing ${sharing}`;
  Deno.test(`createValidate() measures the mass that \`quality\` does: ${settings}`, async () => {
    const flags = ["--sharing", sharing, "--planes", String(planes), "--val", "b,c"];
    const { shape, start, split, recipe } = await smallRun(...flags);
    const map = toLearnedMap(shape, start.state.params, {});
    const outputsOf = (side: "query" | "key", head: number, row: ArrayLike<number>) =>
      encodeReference(row, mapHeadLayers(shape, map[side], sharing === "kv" ? 0 : head));

    const sums = split.validation.map((context) => {
      const { k, headDim, kvLen } = context;
      const keys = [0, 1].map((head) =>
        Array.from({ length: kvLen }, (_, token) => {
          const row = k.subarray(token * headDim, (token + 1) * headDim);
          return outputsOf("key", head, row);
        })
      );
      const costs = ({ head, q }: { readonly head: number; readonly q: Float32Array }) => {
        const query = outputsOf("query", head, q);
        const units = magnitudeUnits(query.map(Math.tanh), planes);
        const weights = units.map((each) => planes === 0 ? 1 : magnitudeOf(each, planes));
        return keys[head].map((key) =>
          weights.reduce((sum, w, j) => sum + ((key[j] > 0) !== (query[j] > 0) ? w : 0), 0)
        );
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
      for (let head = 0; head < (sizes.length === 3 ? sizes[0] : shape.heads); head++) {
        for (let row = 0; row < rows; row++) {
          const at = (sizes.length === 3 ? head * rows + row : row) * dim;
          out.push(...outputsOf(side, head, data.subarray(at, at + dim)));
        }
      }
      return Promise.resolve(Float32Array.from(out));
    };
    const validate = (validationOffset: number) =>
      createValidate(split.validation, {
        windows: WINDOWS,
        recipe: { ...recipe, validationOffset },
        ropeBase: 10000,
        bits: 32,
      })(encode);
    const mass = await validate(0);
    assertAlmostEquals(mass, (share(0) + share(1)) / 2, 1e-9);
    // A rotation changes the codes but not the attention.
    assertNotEquals(await validate(recipe.validationOffset), mass);
  });
}
