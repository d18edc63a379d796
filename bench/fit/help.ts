/** The text of `deno task fit --help`. */
import { exitHelp } from "../edge/exit_codes.ts";
import { RECIPES } from "./training/recipe.ts";

const { best, paper } = RECIPES;

/** The text of `--help`. */
export const FIT_HELP: string = `\
Trains a learned map to Hamming codes on real queries and keys of one KV head and its group.

Usage: deno task fit --trace FILE[,FILE] --out MAP [flags]

  --trace FILE,..     traces (safetensors): for each context NAME.q [heads, queries, head dim],
                      NAME.pos [queries] and NAME.k [tokens, head dim], or bare q, pos and k
  --out MAP           write the map (safetensors); fixtures/README.md has both formats
  --recipe NAME       best or paper, see below (default best)
  --bits N            bits of a code: 32, 64 or 128 (default 32)
  --layers N          linear layers of a map, 1 to 3 (default 3)
  --steps N           steps of training (default ${best.steps}; paper ${paper.steps})
  --minutes M         stop after M minutes at the best so far (default: no limit); the learning
                      rate falls with --steps and not with the clock
  --lr RATE           learning rate (default ${best.learningRate}; paper ${paper.learningRate})
  --top N             positives of a query, for paper (default ${paper.loss.top})
  --alpha W           weight of a positive, for paper (default ${paper.loss.alpha})
  --seed N            seed of weights and samples (default 1)
  --val NAME,..       contexts to hold out for validation, or none (default: of three or more
                      contexts the last by name)
  --sink N            first tokens, which are not learned (default 128)
  --recent N          last tokens, which are not learned (default 128)
  --rope-base BASE    base of the model's RoPE, half-split, or none (default 500000)
  --backend NAME      wasm (CPU), webgpu or auto: webgpu where it is a GPU (default auto)
  --checkpoint FILE   save the state of training here, after each validation and at the end
  --resume            go on from the checkpoint; the map comes out as without the interruption
  --version           print the version, commit and runtime
  --help              print this text

Recipes
  best                learns the attention mass of sampled keys: cross-entropy with the softmax of
                      the codes' similarities, and the mass above a soft cut at N/${best.sparsity};
                      tanh(${best.slope}x) for signs; queries and keys rotated together by a RoPE offset
                      below ${best.ropeOffsets} per step, half of the steps on a context that follows
                      another one; AdamW, cosine decay, averaged weights
  paper               arXiv 2412.14468: the top ${paper.loss.top} keys are positives, tanh for signs, binary
                      cross-entropy with positives weighing ${paper.loss.alpha}, Adam, all keys

Validation takes the N/${best.sparsity} middle tokens of smallest Hamming distance and tells the share of the
middle's attention mass that they hold, mean over heads; best looks at queries and keys rotated by
${best.validationOffset} positions. The map is that of the best validation; without one, of the last step.
Ctrl-C ends training and keeps the best so far. Gradients are jax-js's (@jax-js/jax), which has a CPU
and a GPU backend for the same arrays; before WebGPU trains, both must agree on loss and gradient.

${exitHelp("done", "training failed")}`;
