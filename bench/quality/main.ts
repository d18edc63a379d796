/**
 * Measures how well sparse attention approximates dense attention: `deno task quality`. Exits 0
 * when done and 1 if a device's output differs from the f64 output of its own selection; the other
 * codes are in `exit_codes.ts`.
 * @module
 */
import { readContextsFile } from "../edge/files/trace_file.ts";
import type { NamedContext } from "../../fixtures/trace.ts";
import { loadMap } from "../edge/files/map_file.ts";
import { adapterChoice } from "../edge/adapters.ts";
import { guardDevice } from "../measure/device/device_loss.ts";
import { EXIT } from "../edge/exit_codes.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { openDevice } from "../measure/device/adapter.ts";
import { counted } from "../base/counted.ts";
import { createProgress } from "../edge/progress.ts";
import { QUALITY_COMMAND } from "./flags.ts";
import { parseQualityOptions, type QualityOptions } from "./options.ts";
import { checkWritable, writeWhole } from "../edge/files/output_file.ts";
import { qualityCsv, type QualityRow } from "../results/quality_rows.ts";
import { type QualityOutcome, type QualityRun, runQuality } from "./run.ts";
import { formatQuality } from "./table.ts";
import { runCommand } from "../edge/run_command.ts";
import { terminalWidth } from "../edge/terminal.ts";
import { UsageError } from "../base/usage_error.ts";

/** The largest relative distance of a device's f32 output from the f64 one for the same tokens. */
const MOST_DEVIATION = 1e-4;

async function main(args: readonly string[]): Promise<number> {
  const options = parseQualityOptions(args);
  for (const path of [options.csv, options.svg]) if (path !== null) checkWritable(path);
  const inputs = await readInputs(options);
  if (inputs.adapter !== null) console.log(`Adapter: ${inputs.adapter}`);
  const progress = createProgress();
  const onProgress = (message: string, fraction: number) => progress.update(message, fraction);
  const guard = inputs.device ? guardDevice(inputs.device) : null;
  const measure = () => runQuality({ ...inputs, onProgress });
  const outcome = await (guard === null ? measure() : guard.run(measure))
    .finally(() => progress.clear());
  report(options, outcome);
  if (!(outcome.deviation <= MOST_DEVIATION)) {
    await guard?.check();
    const deviation = outcome.deviation.toExponential(1);
    console.error(
      `FAILED: the device's output is ${deviation} from the f64 output of its own selection.`,
    );
    return EXIT.failed;
  }
  await writeFiles(options, outcome.rows);
  return EXIT.ok;
}

/** Reads the files, then opens a device if a method needs one. */
async function readInputs(
  options: QualityOptions,
): Promise<QualityRun & { readonly adapter: string | null }> {
  const { methods, sparsities, budget, querySet, windows, seed } = options;
  const contexts = await readContextsFile(options.trace);
  for (const context of contexts) checkSparsities(context, options);
  const fit = options.fitTrace === null ? null : await readContextsFile(options.fitTrace);
  const map = options.map === null ? null : await loadMap(options.map);
  const host = options.compute === "device" && methods.some(({ onDevice }) => onDevice)
    ? await openAdapter(await adapterChoice(options))
    : null;
  const device = host && (await openDevice(host.adapter, ["subgroups"])).device;
  const trace = options.trace.split(/[/\\]/).at(-1)!.replace(/\.safetensors$/, "");
  return {
    trace,
    contexts,
    methods,
    sparsities,
    budget,
    querySet,
    windows,
    seed,
    fit: fit?.[0].context ?? null,
    map,
    device,
    adapter: host?.info.adapter ?? null,
  };
}

/**
 * Refuses a sparsity that picks no token.
 *
 * @throws {UsageError} naming the first such sparsity.
 */
function checkSparsities(
  { name, context }: NamedContext,
  { trace, sparsities, budget }: QualityOptions,
): void {
  const most = budget === "trace"
    ? context.kvLen
    : context.positions.reduce((a, b) => Math.max(a, b)) + 1;
  const none = sparsities.find((sparsity) => sparsity > most);
  if (none === undefined) return;
  const where = name === "" ? trace : `${name} in ${trace}`;
  const whose = budget === "trace" ? "" : "up to the last query ";
  throw new UsageError(
    `--sparsity ${none} picks none of the ${counted(most, "token")} ${whose}of ${where}.`,
  );
}

function report({ leftOut }: QualityOptions, outcome: QualityOutcome): void {
  console.log(`${formatQuality(outcome.rows, terminalWidth())}\n`);
  for (const [method, variant] of outcome.variants) console.log(`${method} ran as ${variant}.`);
  for (const trace of outcome.withoutValues) {
    console.log(`${trace} has no values (v), so its output errors are not known.`);
  }
  for (const [needs, methods] of Map.groupBy(leftOut, ({ needs }) => needs)) {
    const names = methods.map(({ name }) => name).join(", ");
    console.log(`Left out: ${names}, without --${needs} FILE.`);
  }
}

async function writeFiles(
  { csv, svg }: QualityOptions,
  rows: readonly QualityRow[],
): Promise<void> {
  if (csv !== null) writeWhole(csv, qualityCsv(rows));
  if (svg !== null) {
    // Imported only if needed: it takes longer to load than everything else.
    const { qualitySvg } = await import("../chart/quality_plot.ts");
    writeWhole(svg, qualitySvg(rows));
  }
  for (const path of [csv, svg]) if (path !== null) console.log(`Written: ${path}`);
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, QUALITY_COMMAND));
