/** Runs the tests of a kernel on one text of it after another. */
import { AssertionError } from "@std/assert";
import { CompileError } from "../../kernels/core/run/program.ts";
import type { RegisteredTest, ReplaceableKernel } from "./kernel_tests.ts";
import type { KilledBy } from "./messages.ts";

/** A mutant may take so much longer than the kernel, which takes milliseconds of a test. */
const MOST_SECONDS = 20;
const MOST_TIMES = 10;

/** No test takes so long with the kernel as it stands. */
const MOST_SECONDS_UNCHANGED = 600;

/** Tests over many problems, which take far longer than the others. */
const isLong = ({ name }: RegisteredTest) => /grid|property/.test(name);

/** Why a test failed: a text that some plan cannot compile says nothing about the tests. */
export type FailureKind = KilledBy | "compile";

/** The first test that failed. */
export interface Failure {
  readonly kind: FailureKind;
  readonly test: string;
}

/** A test and what is known of it. */
interface RatedTest extends RegisteredTest {
  /** How long it takes with the kernel as it stands; undefined until it was run so. */
  seconds?: number;
  runs: number;
  kills: number;
}

/** A kernel with its tests. */
export class TestRunner {
  readonly #kernel: ReplaceableKernel;
  #tests: RatedTest[];

  constructor(kernel: ReplaceableKernel, tests: readonly RegisteredTest[]) {
    this.#kernel = kernel;
    this.#tests = tests.map(({ name, fn }) => ({ name, fn, runs: 0, kills: 0 }));
  }

  /**
   * Runs the tests, the most promising first, until one fails; null if none does. Before a test
   * meets its first mutant, it meets the kernel as it stands.
   *
   * @param amount All tests, or those over few problems alone.
   * @throws {Error} if a test fails without a mutant.
   */
  async firstFailure(source: string, amount: "all" | "short" = "all"): Promise<Failure | null> {
    let left = amount === "all" ? this.#tests : this.#tests.filter((test) => !isLong(test));
    while (left.length > 0) {
      const test = mostPromising(left);
      left = left.filter((other) => other !== test);
      test.seconds ??= await this.#secondsUnchanged(test);
      if (!this.#tests.includes(test)) continue;
      this.#kernel.source = source;
      test.runs++;
      const failed = await failureOf(test, MOST_SECONDS + MOST_TIMES * test.seconds);
      if (failed === null) continue;
      test.kills++;
      return { kind: failed.kind, test: test.name };
    }
    return null;
  }

  /** Times a test on the kernel as it stands; strikes it off if it has nothing to do with it. */
  async #secondsUnchanged(test: RatedTest): Promise<number> {
    this.#kernel.source = this.#kernel.original;
    const reads = this.#kernel.reads;
    const begin = performance.now();
    const failed = await failureOf(test, MOST_SECONDS_UNCHANGED);
    if (failed) throw new Error(`"${test.name}" fails without a mutant: ${failed.error}`);
    if (this.#kernel.reads === reads) this.#tests = this.#tests.filter((other) => other !== test);
    return (performance.now() - begin) / 1000;
  }
}

/** The test that kills the most in a second; of those that never ran, a short one. */
function mostPromising(tests: readonly RatedTest[]): RatedTest {
  const seconds = (test: RatedTest) => test.seconds ?? (isLong(test) ? 10 : 1);
  const rating = (test: RatedTest) =>
    (test.kills + 1) / (test.runs + 2) / Math.max(0.05, seconds(test));
  return tests.reduce((best, test) => rating(test) > rating(best) ? test : best);
}

async function failureOf(
  { fn }: RegisteredTest,
  mostSeconds: number,
): Promise<{ readonly kind: FailureKind; readonly error: unknown } | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), 1000 * mostSeconds);
  });
  try {
    const first = await Promise.race([fn(), late]);
    return first === "late" ? { kind: "time", error: `no end in ${mostSeconds} s` } : null;
  } catch (error) {
    return { kind: kindOf(error), error };
  } finally {
    clearTimeout(timer);
  }
}

/** What an error, or what caused it, says of the mutant. */
function kindOf(error: unknown): FailureKind {
  for (let each = error; each instanceof Error; each = each.cause) {
    // What writes loops out and what reads a text's facts refuse it with a syntax error.
    if (each instanceof CompileError || each instanceof SyntaxError) return "compile";
    if (each instanceof AssertionError) return "result";
  }
  return "error";
}
