/** Random mutants of many kernels: tries them, tells what survives, and says what they come to. */
import { EXIT } from "../../bench/edge/exit_codes.ts";
import { createProgress } from "../../bench/edge/progress.ts";
import { isEquivalent, staleEquivalents } from "./equivalents.ts";
import type { Verdict } from "./messages.ts";
import {
  countsOf,
  type KernelScore,
  LEAST_SCORE,
  scoreTable,
  survivorLines,
  wrongEquivalents,
} from "./score.ts";
import { tryMutants } from "./supervise.ts";

/** Tries `count` mutants of each kernel; returns the exit code. */
export async function mutateAtRandom(
  kernels: readonly string[],
  count: number,
  seed: number,
): Promise<number> {
  const progress = createProgress();
  const scores: KernelScore[] = [];
  for (const [at, kernel] of kernels.entries()) {
    const begin = performance.now();
    let tried = 0;
    const tell = () => {
      const fraction = (at + tried / count) / kernels.length;
      progress.update(`${kernel}: ${tried} of ${count} mutants`, fraction);
    };
    tell();
    const verdicts = await tryMutants({ kernel, seed, count }, (verdict) => {
      tried++;
      progress.clear();
      tellVerdict(verdict);
      tell();
    });
    scores.push({ kernel, verdicts, seconds: (performance.now() - begin) / 1000 });
  }
  progress.clear();
  for (const { before, after } of kernels.flatMap(staleOf)) {
    console.log(
      `tools/mutation/equivalent_mutants.json: the line is gone of "${after}" for "${before}"`,
    );
  }
  const verdicts = scores.flatMap((score) => score.verdicts);
  const { killed, survived, score } = countsOf(verdicts);
  console.log(scoreTable(scores).join("\n"));
  console.log(
    `${killed} killed, ${survived} survived: ${(100 * score).toFixed(1)}%, ` +
      `at least ${100 * LEAST_SCORE}% are asked`,
  );
  return score < LEAST_SCORE ? EXIT.failed : EXIT.ok;
}

function staleOf(kernel: string) {
  const file = new URL(`../../kernels/${kernel}.wgsl`, import.meta.url);
  return staleEquivalents(kernel, Deno.readTextFileSync(file));
}

function tellVerdict(verdict: Verdict): void {
  const { mutant, killedBy } = verdict;
  if (killedBy === null && !isEquivalent(mutant)) console.log(survivorLines(mutant).join("\n"));
  for (const { kernel, before, after } of wrongEquivalents([verdict])) {
    console.log(
      `${kernel}: tools/mutation/equivalent_mutants.json is wrong about "${after}" for "${before}", ` +
        `which "${verdict.test}" kills`,
    );
  }
}
