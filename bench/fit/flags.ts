/** What `deno task fit` takes, and what its `--help` says. */
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
import { RECIPES } from "./training/recipe.ts";

const { best, paper } = RECIPES;

/** Far below the random streams of the initial weights. */
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
        more: "the learning rate falls with --steps and not with the clock",
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
        defaultNote: "of three or more contexts the last by name",
        read: (name, text) => text === "none" ? [] : list(name, text),
        help: "contexts to hold out for validation, or none",
      },
      sink: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "first tokens, which are not learned",
      },
      recent: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "last tokens, which are not learned",
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
        help: "wasm (CPU), webgpu or auto: webgpu where it is a GPU",
      },
      checkpoint: {
        value: "FILE",
        read: asWritten,
        help: "save the state of training here, after each validation and at the end",
      },
      resume: {
        help: "go on from the checkpoint; the map comes out as without the interruption",
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
          "learns the attention mass of sampled keys: cross-entropy with the softmax of the codes' " +
          `similarities, and the mass above a soft cut at N/${best.sparsity}; tanh(${best.slope}x) ` +
          "for signs; queries and keys rotated together by a RoPE offset below " +
          `${best.ropeOffsets} per step, half of the steps on a context that follows another one; ` +
          "AdamW, cosine decay, averaged weights",
        ],
        [
          "paper",
          `arXiv 2412.14468: the top ${paper.loss.top} keys are positives, tanh for signs, binary ` +
          `cross-entropy with positives weighing ${paper.loss.alpha}, Adam, all keys`,
        ],
      ],
    },
    `Validation takes the N/${best.sparsity} middle tokens of smallest Hamming distance and tells ` +
    "the share of the middle's attention mass that they hold, mean over heads; best looks at queries " +
    `and keys rotated by ${best.validationOffset} positions. The map is that of the best validation; ` +
    "without one, of the last step. Ctrl-C ends training and keeps the best so far. Gradients are " +
    "jax-js's (@jax-js/jax), which has a CPU and a GPU backend for the same arrays; before WebGPU " +
    "trains, both must agree on loss and gradient.",
    TOKENS_NOTE,
    exitTerms("done", "training failed"),
  ],
} as const satisfies Command;
