/**
 * The tests of a kernel within this process. `deno test` would start a process, open devices and
 * compile every other kernel anew for each mutant; here a mutant is another text in a kernel that
 * stays loaded, and its tests are functions.
 */
import { EVERY_VARIANT, findVariant, RIVALS } from "../../kernels/core/registry.ts";
import { isPq } from "../../kernels/encode/pq.ts";
import { isNsa } from "../../kernels/pipeline/nsa_reference.ts";
import type { Kernel } from "../../kernels/core/variant.ts";

/** A test as a file registers it. */
export interface RegisteredTest {
  readonly name: string;
  readonly fn: () => void | Promise<void>;
}

interface Definition extends RegisteredTest {
  readonly ignore?: boolean;
}

/** Variants with a file of their own for what only they promise, beside the tests of their kind. */
const WITH_OWN_TESTS: Readonly<Record<string, string>> = {
  "pipeline/acp": "pipeline/acp",
  "pipeline/acp_portable": "pipeline/acp",
  "pipeline/mosa": "pipeline/mosa",
  "pipeline/mosa_portable": "pipeline/mosa",
  "encode/prompt": "encode/chunks",
  "encode/rotate_prompt": "encode/chunks",
  "dense/split_matrix": "dense/split_matrix",
};

/** The files with the tests of variants, from the root. */
export function stageTests(variants: readonly string[]): string[] {
  const own = variants.flatMap((name) => WITH_OWN_TESTS[name] ?? []);
  return [
    ...new Set([
      ...variants.map(testFileOf),
      ...own.map((name) => `kernels/${name}_test.ts`),
      ...variants.filter(encodesPrefix).map(() => "kernels/encode/shared_test.ts"),
    ]),
  ];
}

/** Whether a variant encodes keys of sequences that share a prefix, too. */
function encodesPrefix(name: string): boolean {
  const { sharedPrefix, stage } = findVariant(name);
  return sharedPrefix === "also" && (stage === "encode_append" || stage === "encode_prompt");
}

function testFileOf(name: string): string {
  const [stage] = name.split("/");
  return `kernels/${stage}/${kindOf(name) ?? stage}_test.ts`;
}

/**
 * What has test files of its own: product-quantised keys, NSA, other rivals, sequences that share a
 * prefix, rotated pipelines.
 */
function kindOf(name: string): string | undefined {
  if (isPq(name)) return "pq";
  if (isNsa(name)) return "nsa";
  if (RIVALS.some((rival) => rival.name === name)) return "rivals";
  if (findVariant(name).sharedPrefix === "only") return "shared";
  if (name.startsWith("pipeline/") && findVariant(name).codes === "rotated") return "rotated";
}

/** What the test files register while they are loaded, without what they would have ignored. */
export async function registeredTests(files: readonly URL[]): Promise<RegisteredTest[]> {
  const found: Definition[] = [];
  const register = (test: string | Definition, fn?: Definition["fn"]) => {
    found.push(typeof test === "string" ? { name: test, fn: fn! } : test);
  };
  const own = Object.getOwnPropertyDescriptor(Deno, "test")!;
  Object.defineProperty(Deno, "test", { value: register, configurable: true });
  try {
    for (const file of files) await import(file.href);
  } finally {
    Object.defineProperty(Deno, "test", own);
  }
  return found.filter(({ ignore }) => !ignore);
}

/**
 * The tests that may run a variant of these: all but those whose names begin with another variant's
 * name. Some of them name no variant at all.
 */
export function testsOf(
  variants: readonly string[],
  tests: readonly RegisteredTest[],
): RegisteredTest[] {
  const others = EVERY_VARIANT.map(({ name }) => name).filter((name) => !variants.includes(name));
  return tests.filter(({ name }) => !others.includes(name.split(":")[0]));
}

/** A kernel whose text can be replaced. */
export class ReplaceableKernel {
  readonly #kernels: readonly Kernel[];
  readonly #original: string;
  #source: string;
  #reads = 0;

  /** @param kernels The objects that plans dispatch; all hold one text. */
  constructor(kernels: readonly Kernel[]) {
    this.#kernels = kernels;
    this.#original = kernels[0].source;
    this.#source = this.#original;
    for (const kernel of kernels) {
      Object.defineProperty(kernel, "source", {
        get: () => {
          this.#reads++;
          return this.#source;
        },
      });
    }
  }

  /** The text as it stands in the file. */
  get original(): string {
    return this.#original;
  }

  /** How often anybody read the text so far. */
  get reads(): number {
    return this.#reads;
  }

  /** Puts a text in the kernel's place. */
  set source(text: string) {
    this.#source = text;
  }
}
