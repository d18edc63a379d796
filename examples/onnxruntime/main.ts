/**
 * A client of the decoder: ONNX Runtime Web keeps a KV cache in GPU buffers, and decoders attend over
 * those very buffers.
 * @module
 */
import { measureLength, openClient, type Row } from "./client.ts";
import { HELP, parseOptions, Refusal } from "./options.ts";

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help")) return console.log(HELP);
  const options = parseOptions(args);
  const client = await openClient();
  const { qHeads, kvHeads, headDim, rounds } = options;
  console.log(
    `${client.adapter}; ${qHeads} query heads, ${kvHeads} KV heads of ${headDim} dimensions, f16`,
  );
  if (client.software) console.log("A software adapter: its times say nothing about a GPU.");
  console.log(`Medians of ${rounds}, in turns: ${client.clock.source}.`);
  for (const length of options.lengths) {
    console.log(`\n${length.toLocaleString("en")} tokens`);
    for (const row of await measureLength(client, options, length)) console.log(lineOf(row));
  }
}

function lineOf({ name, medianUs, distance }: Row): string {
  const time = `${medianUs.toFixed(1).padStart(12)} us`;
  return `  ${name.padEnd(38)}${time}` +
    (distance > 0 ? `   differs by ${distance.toExponential(1)}` : "");
}

try {
  await main(Deno.args);
} catch (error) {
  if (!(error instanceof Refusal || error instanceof RangeError)) throw error;
  console.error(error.message);
  Deno.exit(2);
}
Deno.exit(0); // ONNX Runtime keeps the program alive
