import { exitHelp } from "./exit_codes.ts";

/** The text of `--help`. */
export const HELP: string = `\
Times every stage of HashAttention, and the whole sparse decode step, against dense attention.

Usage: deno task bench [flags]

What to time
  --quick            llama-3.1-8b at 8192 tokens and the trace that ships with the suite
  --models NAME,..   shapes of these models (default llama-3.1-8b; --list names them)
  --shape QxKxD      query heads x KV heads x head dim, such as 32x8x128
  --kv N,..          KV lengths in tokens (default: 8192, 32768, 131072 as the model allows)
  --set NAME         a set of cases with shapes, lengths and settings of its own (--list shows
                     them): decode is the published claim, against dense attention
  --trace FILE       real queries, keys and values from a safetensors file
  --trace-map FILE   the learned map of the trace's heads (default: a random projection; --quick
                     takes the map that ships with the suite)
  --kernels GLOB,..  only kernels whose name matches, such as 'dense/*' (--list names them)
  --batch N          sequences (default 1; a trace is always one)
  --lengths N,N,..   one batch of sequences of so many tokens each, instead of --kv and --batch
  --dtype TYPE       K and V: f16 (default), bf16 or f32

How HashAttention selects
  --bits N           bits of a code: 32 (default), 64 or 128
  --sharing WHO      a code per query head (head, default) or per KV head (group)
  --map KIND         mlp (3 layers of width 128) or random (one linear layer);
                     default mlp for --sharing head, random for group and for --quick;
                     a trace has its own, see --trace-map
  --sparsity S       take 1/S of the tokens (default 32)
  --k N              take N tokens instead
  --sink N           first tokens that are always attended (default 128)
  --recent N         last tokens that are always attended (default 128)

How to measure
  --hot              leave the inputs in the caches between steps (default: cold)
  --noise PCT        stop when half of each median's 95% interval is below this (default 0.5);
                     a software adapter stops at 5 samples
  --max-time SEC     time limit of a case's sampling (default 10); kernels whose steps
                     are too long for it are left out
  --memory GB        GPU memory for inputs (default 6); cold sets of large cases want more
  --seed N           seed of the inputs (default 1)
  --tuned FILE       parameters that deno task tune found (default results/tuning.json if there)
  --no-tuned         the kernels' default parameters, whatever was tuned
  --driver NAME      driver to record where the system does not tell it
  --out DIR          folder of results.csv and samples.jsonl (default results/<UTC time>);
                     verified rows of this commit, device and settings that it has are kept,
                     what is missing is measured and appended, and of several rows of one
                     kernel and case the last counts; ratios.csv and report.html, with
                     figures, are of the last run
  --json FILE        write the run as one JSON document, too: bench/RUN-JSON.md describes it
  --peers FILE,..    CSV of other software's times in f16 (bench/peers.ts has the columns), set
                     against the fastest dense kernel and sparse step of each case

Instead of timing
  --list             list kernels, models and sets of cases
  --print-wgsl NAME  print the WGSL of a kernel as it would run for the first case
  --help             print this text

deno task compare A B says what changed between two results.

${exitHelp("all verified", "a kernel FAILED its check")}`;
