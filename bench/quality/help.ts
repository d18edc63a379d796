/** The text of `deno task quality --help`. */
import { exitHelp } from "../edge/exit_codes.ts";
import { METHODS } from "./methods.ts";

const METHOD_LINES = METHODS.map(({ name, description }) => `  ${name.padEnd(19)}${description}`)
  .join("\n");

/** The text of `--help`. */
export const QUALITY_HELP: string = `\
Says at which budget the output of sparse attention stays right, on real queries, keys and values.

Usage: deno task quality --trace FILE [flags]

  --trace FILE        attention trace (safetensors): tensors q, pos, k and v, or NAME.q, NAME.pos,
                      NAME.k and NAME.v for each context; without v there is no output error
  --map FILE          learned map, for the method learned
  --fit-trace FILE    trace whose first context double-sparsity-16 is calibrated on
  --methods NAME,..   methods to compare (default: all that the flags above allow)
  --sparsity S,..     budgets: k = floor(N/S) of the whole trace for every query
                      (default 8,16,32,64)
  --sink N            first tokens that are always attended (default 128)
  --recent N          last tokens that are always attended (default 128)
  --seed N            seed of the random projections (default 1)
  --adapter WHICH     the adapter for the method learned, as bench --list-adapters numbers or names it
  --csv FILE          write a row per method, budget and head
  --svg FILE          plot error and mass against budget
  --version           print the version, commit and runtime
  --help              print this text

Methods
${METHOD_LINES}

A query at position p attends keys 0 to p: sink, recent window and k of the middle between them,
fewer if the middle is smaller; at equal scores the lower token. Of quest's last page the first
tokens are taken, so that it takes as many as the others. All is computed in f64, but for learned,
whose codes, scores and outputs are the device's own.

Columns of --csv
  bits_per_token_per_kv_head  what the method reads to decide
  head                        query head from 0, or all
  recall                      share of the exact top-k taken, mean over queries
  mass_middle, mass_total     attention mass caught: of the middle, and of everything (sum / sum)
  output_rel_err              L2 distance from dense attention over its norm, mean over queries

${exitHelp("done", "the device's output is not what its own selection gives")}`;
