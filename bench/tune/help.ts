/** The text of `deno task tune --help`. */
import { exitHelp } from "../edge/exit_codes.ts";
import { FINALISTS } from "../tuning/search.ts";

/** The text of `--help`. */
export const TUNE_HELP: string = `\
Finds the best parameters of kernels for problems on this device, and leaves them where bench looks.

Usage: deno task tune [flags]

What to tune
  --kernels GLOB,..  only kernels whose name matches, such as 'dense/*' or dense (default: all)
  --models, --shape, --kv, --batch, --set, --dtype, --bits, --sharing, --map, --k, --sparsity,
  --sink, --recent, --force
                     the problems, as deno task bench --help tells

How to search
  --budget SEC       seconds for all of it (default 300), in equal shares for each kernel of each
                     problem; what one does not use goes to those after it
  --silence SEC      a candidate of which nothing is heard for so long has hung (default 30)
  --noise, --timer, --memory, --seed, --adapter, --driver
                     as for bench

Files
  --out DIR          folder of the log tune.jsonl (default results/<UTC time>-tune)
  --resume           go on with the run whose log is in --out; nothing is measured again
  --tuned FILE       where the winners go (default results/tuning.json, where bench looks)
  --version          print the version, commit and runtime
  --help             print this text

Only candidates that the kernel and this adapter's limits allow are tried: the defaults, then what
differs from the best so far in one parameter by one step, and where nothing near is left others from
all over the space, until the share is spent or all are tried. Each is checked against the reference
before it is timed, with few samples. The best ${FINALISTS} are then timed in full, interleaved with the
defaults. A candidate wins if its whole 95% interval lies below that of the defaults. One that hangs
costs itself alone; one that a lost device came upon is tried again on a fresh one, and left
unmeasured if that is lost too. report --tune LOG draws what was tried.

Entries are for one adapter, driver and backend, and for the kernel's sources and candidates as they
are: after a change of one of these they are passed over.

${exitHelp("done", "no candidate of a kernel was right")}`;
