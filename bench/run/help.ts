import { exitHelp } from "../edge/exit_codes.ts";

/** The text of `--help`. */
export const HELP: string = `\
Times every stage of HashAttention, and the whole sparse decode step, against dense attention.

Usage: deno task bench [flags]

What to time
  --quick            llama-3.1-8b at 1024, 4096 and 16384 tokens (on a software adapter at 4096)
                     and the trace that ships with the suite
  --models NAME,..   shapes of these models (default llama-3.1-8b; --list names them)
  --shape QxKxD      query heads x KV heads x head dim, such as 32x8x128
  --kv N,..          KV lengths in tokens (default: 8K, 32K, 128K as the model allows)
  --set NAME         a set of cases with shapes, lengths and settings of its own (--list shows
                     them): decode is the published claim, against dense attention
  --trace FILE       real queries, keys and values from a safetensors file
  --trace-map FILE   the learned map of the trace's heads (default: a random projection; --quick
                     takes the map that ships with the suite)
  --kernels GLOB,..  only kernels whose name matches, such as 'dense/*', or a stage's folder, such
                     as dense (--list names them)
  --batch N,..       sequences, cases for each number (default 1; a trace is always one)
  --lengths N,N,..   one batch of sequences of so many tokens each, instead of --kv and --batch
  --force            time lengths beyond a model's context, and budgets that pick no token
  --dtype TYPE       K and V: f16 (default), bf16 or f32

Numbers of tokens may end in K for 1,024, such as 8K; models may be written in upper or lower case.

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
                     a software adapter stops at 6 samples
  --max-time SEC     time limit of a case's sampling (default 10), but for 6 samples of each
                     kernel; kernels whose steps are too long for it are left out
  --timer CLOCK      timestamp (the GPU's own clock), wall (time of long submissions, less
                     precise) or auto (default): timestamp where the device has usable ones
  --hand-over HOW    how partials reach whoever merges them: dispatch (one more), atomics or barrier
                     (the last workgroup merges); auto (default) takes barrier where it is known
                     to order memory, else dispatch
  --memory GB        GPU memory for inputs (default 6); cold sets of large cases want more
  --seed N           seed of the inputs (default 1)
  --tuned FILE       parameters that deno task tune found (default results/tuning.json if there)
  --no-tuned         the kernels' default parameters, whatever was tuned
  --adapter WHICH    number or part of the name of an adapter of --list-adapters
                     (default: the one that the system calls high-performance)
  --driver NAME      driver to record where the system does not tell it
  --out DIR          folder of results.csv and samples.jsonl (default results/<UTC time>);
                     verified rows of this commit, device and settings that it has are kept,
                     what is missing is measured and appended, and of several rows of one
                     kernel and case the last counts; ratios.csv and report.html, with
                     figures, are of the last run
  --json FILE        write the run as one JSON document, too: docs/run-json.md describes it
  --peers FILE,..    CSV of other software's times in f16 (bench/findings/peers.ts has the columns), set
                     against the fastest dense kernel and sparse step of each case

Instead of timing
  --list             list kernels, models and sets of cases
  --list-adapters    list the adapters that can be asked for
  --dry-run          list the cases with their memory and minutes
  --print-wgsl NAME  print the WGSL of a kernel as it would run for the first case
  --version          print the version, commit and runtime
  --help             print this text

A flag without a value may be written --hot=true or --hot=false.

deno task compare A B says what changed between two results.

${exitHelp("all verified", "a kernel FAILED its check")}`;
