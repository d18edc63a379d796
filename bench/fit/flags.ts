/** The flags of `deno task fit` and the text of its `--help`. */
import { DEFAULT_ROPE_BASE } from "../../fixtures/rope.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import {
  asWritten,
  decimal,
  list,
  MAX_U32,
  oneOf,
  tokenCount,
  TOKENS_NOTE,
  wholeNumber,
} from "../flags/flag_values.ts";
import type { WantedBackend } from "./training/backend.ts";
import type { FitSharing, InitialMap } from "./training/model/model.ts";
import { type KeySigns, RECIPES } from "./training/recipe.ts";

const { best, paper } = RECIPES;

/** Each step has a random stream, and the streams of the initial weights begin far above this. */
const MAX_STEPS = 10_000_000;

const ropeBase = decimal(1, 1e12);

/** `deno task fit`. */
export const FIT_COMMAND = {
  purpose:
    "Trains a learned map to Hamming codes on real queries and keys of one KV head and its " +
    "group.",
  usage: "deno task fit --trace FILE[,FILE] --out MAP [flags]",
  sections: {
    Flags: {
      trace: {
        value: "FILE,..",
        required: true,
        read: list,
        help:
          "traces (safetensors): for each context NAME.q [heads, queries, head dim], NAME.pos " +
          "[queries] and NAME.k [tokens, head dim], or bare q, pos and k",
      },
      out: {
        value: "FILE",
        required: true,
        read: asWritten,
        help: "write the map here (safetensors); fixtures/README.md has both formats",
      },
      recipe: {
        value: "NAME",
        default: "best",
        read: oneOf("best", "paper"),
        help: "best or paper, see below",
      },
      bits: {
        value: "N",
        default: "32",
        read: oneOf("32", "64", "128"),
        help: "bits of a code: 32, 64 or 128",
      },
      layers: {
        value: "N",
        default: "3",
        read: wholeNumber(1, 3),
        help: "linear layers of a map, 1 to 3",
      },
      sharing: {
        value: "SCOPE",
        default: "head",
        read: oneOf<FitSharing>("head", "kv"),
        help:
          "head: a map per query head; kv: one map for the keys of the KV head and one for the " +
          "queries of its group",
      },
      planes: {
        value: "N",
        default: "0",
        read: wholeNumber(0, 3),
        help: "magnitude planes of a query code, 0 to 3, see below",
      },
      "key-signs": {
        value: "KIND",
        defaultNote: "soft",
        read: oneOf<KeySigns>("soft", "straight-through"),
        help: "what stands for the signs of keys in training with planes, see below",
      },
      init: {
        value: "START",
        default: "random",
        read: oneOf<InitialMap>("random", "rotation"),
        help: "start from random weights or from the rotation, which needs --layers 1",
      },
      steps: {
        value: "N",
        defaultNote: `${best.steps}; paper ${paper.steps}`,
        read: wholeNumber(1, MAX_STEPS),
        help: "steps of training",
      },
      minutes: {
        value: "M",
        defaultNote: "no limit",
        read: decimal(0.001, 10_080, "minutes"),
        help: "stop after M minutes at the best so far",
        more: "the learning rate follows --steps, not the clock",
      },
      lr: {
        value: "RATE",
        defaultNote: `${best.learningRate}; paper ${paper.learningRate}`,
        read: decimal(1e-9, 1),
        help: "learning rate",
      },
      top: {
        value: "N",
        defaultNote: String(paper.loss.top),
        read: wholeNumber(1, MAX_U32),
        help: "positives of a query, for paper",
      },
      alpha: {
        value: "W",
        defaultNote: String(paper.loss.alpha),
        read: decimal(1e-6, 1e6),
        help: "weight of a positive, for paper",
      },
      seed: {
        value: "N",
        default: "1",
        read: wholeNumber(0, MAX_U32),
        help: "seed of weights and samples",
      },
      val: {
        value: "NAME,..",
        defaultNote: "the last by name of three or more contexts",
        read: (name, text) => text === "none" ? [] : list(name, text),
        help: "contexts to hold out for validation, or none",
      },
      sink: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "first tokens, which are always attended and not learned",
      },
      recent: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "last tokens, which are always attended and not learned",
      },
      "rope-base": {
        value: "BASE",
        default: String(DEFAULT_ROPE_BASE),
        read: (name, text) => text === "none" ? null : ropeBase(name, text),
        help: "base of the model's RoPE, half-split, or none",
      },
      backend: {
        value: "NAME",
        default: "auto",
        read: oneOf<WantedBackend>("auto", "wasm", "webgpu"),
        help: "wasm (CPU), webgpu, or auto: webgpu if the adapter is a GPU",
      },
      checkpoint: {
        value: "FILE",
        read: asWritten,
        help: "save the state of training here after each validation and at the end",
      },
      resume: {
        help: "continue from the checkpoint; the map is that of an uninterrupted run",
        needs: { checkpoint: "--checkpoint FILE" },
      },
    },
  },
  notes: [
    {
      heading: "Recipes",
      terms: [
        [
          "best",
          "learns the attention mass of sampled keys. The loss is the cross-entropy with the " +
          "softmax of the codes' similarities, minus the mass above a soft threshold at " +
          `N/${best.sparsity}. tanh(${best.slope}x) stands for signs. Each step rotates queries ` +
          `and keys together by a RoPE offset below ${best.ropeOffsets}; half of the steps join ` +
          "two contexts. AdamW, cosine decay, averaged weights",
        ],
        [
          "paper",
          `arXiv 2412.14468: the top ${paper.loss.top} keys are positives; tanh for signs; ` +
          `binary cross-entropy with a weight of ${paper.loss.alpha} for positives; Adam; all keys`,
        ],
      ],
    },
    "With --planes above 0, a map is trained for the weighted distance: the query's outputs tanh(x) " +
    "weigh the signs of the key's outputs. tanh stands for these signs (soft), or gradients pass the " +
    "signs themselves as if they were tanh (straight-through). The rotation is H D x, the Hadamard transform of x with some " +
    "signs flipped; the map starts at it up to a factor.",
    `Validation selects the N/${best.sparsity} middle tokens of smallest distance and ` +
    "reports their share of the middle's attention mass, mean over heads; best validates on " +
    `queries and keys rotated by ${best.validationOffset} positions. The map is the one with the ` +
    "best validation, or the last one without validation. Ctrl-C ends training and keeps the " +
    "best map so far. jax-js (@jax-js/jax) computes the gradients, on the CPU or on a GPU. " +
    "Before WebGPU trains, both backends must agree on loss and gradient.",
    TOKENS_NOTE,
    exitTerms("done", "training failed"),
  ],
} as const satisfies Command;
