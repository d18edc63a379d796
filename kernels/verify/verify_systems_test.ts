/** The checks of other systems' steps see a wrong number wherever a step writes one. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { findVariant } from "../core/registry.ts";
import { bufferBytes } from "../core/layout.ts";
import { INDEX } from "../core/system_layout.ts";
import { decayBlocks } from "../attend/decayed.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { verify } from "./verify.ts";

const testDevice = await openTestDevice();
const LENGTH = 300;
const { p, options } = testCase({ heads: [4, 4], headDim: 64, dtype: "f32", lengths: [LENGTH] });

/** Names of the places that a step writes, and where these are: a buffer and a word in it. */
type Places = Readonly<Record<string, readonly [buffer: string, word: number]>>;

const newestRow = LENGTH - 1;
const blocks = decayBlocks(p, { DECAY_BLOCK: 128 }) + 2;
const lastWord = bufferBytes(p).out / 4 - 1;

const PLACES: Readonly<Record<string, Places>> = {
  "pipeline/dsa": {
    "a score": ["scores", 17],
    "the newest row of the index": ["index_codes", newestRow * INDEX.dim / 4 + 31],
    "its scale": ["index_scales", newestRow],
    "the output": ["out", lastWord],
  },
  "pipeline/acp": {
    "the decay of the newest block": ["decay_state", 0],
    "the decay of a token in it": ["decay_state", 1 + 43],
    "the same beside the other tokens": ["decays", newestRow - 1],
    "the decay over the newest block": ["block_decays", 2 + 2],
    "the first token": ["block_decays", blocks],
    "the threshold": ["block_decays", 1],
    "the largest norm": ["decay_state", 129],
    "the output": ["out", lastWord],
  },
  "pipeline/mosa": {
    "a score": ["routes", 2],
    "the tokens of a head that takes the token": ["routes", 3],
    "the tokens of one that does not": ["routes", 1],
    "the output": ["out", lastWord],
    "the output of a head without the token": ["out", 3],
  },
};

for (const [name, places] of Object.entries(PLACES)) {
  const variant = findVariant(name);
  Deno.test({
    name: `verify() sees what ${name} may get wrong`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      const params = variant.defaults(p, testDevice.limits);
      const inputs = makeInputs(variant, p, params, options);
      const read = await runVariant(testDevice, variant, p, params, inputs);
      const right = await verify(variant, p, params, read);
      assert(right.ok, JSON.stringify(right.worst));
      for (const [place, [buffer, word]] of Object.entries(places)) {
        const { ok, worst } = await verify(variant, p, params, async (from, offset, length) => {
          const bytes = (await read(from, offset, length)).slice();
          const at = 4 * word - offset;
          // Another exponent, or another byte of four.
          if (from === buffer && at >= 0 && at < length) bytes[at + 3] ^= 1;
          return bytes;
        });
        assertEquals(ok, false, place);
        assertNotEquals(worst, null, place);
      }
    },
  });
}

Deno.test("systems: no GPU error went uncaught", () => assertEquals(testDevice.uncaptured, []));
