import { assertEquals, assertThrows } from "@std/assert";
import type { TunedEntry } from "../../../kernels/core/tuning.ts";
import { UsageError } from "../../base/usage_error.ts";
import { loadTuning, parseTuning, readTuning, updateTuning, withEntry } from "./tuning_file.ts";

const ROOT = `${import.meta.dirname}/../../..`;

const ENTRY: TunedEntry = {
  adapter: "Some GPU",
  driver: null,
  backend: "vulkan",
  kernel: "dense/split",
  checksum: "0123",
  problem: {
    batch: 1,
    qHeads: 32,
    kvHeads: 8,
    headDim: 128,
    kvLen: 32768,
    dtype: "f16",
    bits: 32,
    sharing: "head",
    planes: 0,
  },
  params: { WORKGROUP: 128, PREFETCH: 0 },
  us: 52.25,
  defaultUs: null,
};

Deno.test("readTuning() reads what updateTuning() wrote, alone in its folder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/new/tuning.json`;
    assertEquals(readTuning(path), null);
    updateTuning(path, (tuning) => withEntry(tuning, ENTRY));
    assertEquals(readTuning(path), { entries: [ENTRY] });
    assertEquals(Array.from(Deno.readDirSync(`${folder}/new`), ({ name }) => name), [
      "tuning.json",
    ]);
    assertThrows(() => loadTuning(`${folder}/missing`), UsageError, "There is no tuning file");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readTuning() reads entries of shared codes with planes, and older ones without", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/tuning.json`;
    const rotated: TunedEntry = {
      ...ENTRY,
      problem: { ...ENTRY.problem, sharing: "kv", planes: 2 },
    };
    updateTuning(path, (tuning) => withEntry(withEntry(tuning, ENTRY), rotated));
    assertEquals(readTuning(path), { entries: [ENTRY, rotated] });
    const older = Deno.readTextFileSync(path).replace(/,\s*"planes": 0/, "");
    assertEquals(older.includes('"planes": 0'), false);
    Deno.writeTextFileSync(path, older);
    assertEquals(readTuning(path), { entries: [ENTRY, rotated] });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("updateTuning() loses no entry when several tuners write at the same time", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/tuning.json`;
    const kernels = ["kernel/0", "kernel/1", "kernel/2"];
    const each = 20;
    const codes = await Promise.all(kernels.map(async (kernel) => {
      const script = `
        import { updateTuning, withEntry } from "${import.meta.resolve("./tuning_file.ts")}";
        const entry = ${JSON.stringify({ ...ENTRY, kernel })};
        for (let kvLen = 1; kvLen <= ${each}; kvLen++) {
          const problem = { ...entry.problem, kvLen };
          updateTuning("${path}", (tuning) => withEntry(tuning, { ...entry, problem }));
        }`;
      const args = ["eval", "--no-check", script];
      const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT })
        .output();
      return code === 0 ? "done" : new TextDecoder().decode(stderr);
    }));
    assertEquals(codes, kernels.map(() => "done"));
    assertEquals(readTuning(path)!.entries.length, kernels.length * each);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("withEntry() replaces the older entry of the same kernel, problem and adapter", () => {
  const newer = { ...ENTRY, checksum: "4567", us: 50 };
  const other = { ...ENTRY, problem: { ...ENTRY.problem, kvLen: 8192 } };
  const tuning = withEntry(withEntry({ entries: [ENTRY] }, other), newer);
  assertEquals(tuning.entries, [other, newer]);
});

Deno.test("parseTuning() refuses each kind of damaged file in one sentence", () => {
  const file = (changes: object) =>
    JSON.stringify({ schema: 1, entries: [ENTRY, { ...ENTRY, ...changes }] });
  const wrong: [string, string][] = [
    ["{", "t.json is not JSON, so it is not a tuning file."],
    [
      file({}).replace('"us":', '"us":1,"us":'),
      't.json: the name "us" occurs twice in one object.',
    ],
    ["[]", "t.json is not a tuning file."],
    ['{"schema":2,"entries":[]}', "t.json has schema 2, this version reads 1."],
    [file({ kernel: "" }), "t.json: entry 2 has a wrong kernel."],
    [file({ us: -1 }), "t.json: entry 2 has a wrong us."],
    [file({ params: { LANES: 1.5 } }), "t.json: entry 2 has a wrong params."],
    [file({ problem: { ...ENTRY.problem, dtype: "f8" } }), "t.json: entry 2 has a wrong problem."],
  ];
  for (const [text, message] of wrong) {
    assertThrows(() => parseTuning(text, "t.json"), UsageError, message);
  }
});
