import { assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { loadMap } from "../edge/files/map_file.ts";
import { SMALL_FLAGS, smallTraceBytes, tensorOf } from "./testing_trace.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;

const run = (...args: string[]) => runProgram(MAIN, ...args);

const filesIn = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

Deno.test("fit exits 2 with one sentence and writes nothing if a trace or flag is wrong", () =>
  inFolder(async (folder) => {
    const sound = smallTraceBytes();
    const nan = new Float32Array(320 * 16);
    nan[77] = NaN;
    const traces: [string, Uint8Array, RegExp][] = [
      [
        "truncated",
        sound.subarray(0, 5000),
        /^\S+truncated: the safetensors header claims|claims bytes/,
      ],
      ["malformed", new TextEncoder().encode("no trace at all"), /^\S+malformed: /],
      [
        "wrong-dtype",
        smallTraceBytes({ "b.k": tensorOf("I32", [320, 16], new Int32Array(5120)) }),
        /"b\.k" is I32 and not F16, BF16 or F32/,
      ],
      [
        "nan",
        smallTraceBytes({ "a.k": tensorOf("F32", [320, 16], nan) }),
        /"a\.k" holds NaN at element 77/,
      ],
      [
        "one-query",
        smallTraceBytes({
          "c.q": tensorOf("F32", [2, 1, 16], new Float32Array(32)),
          "c.pos": tensorOf("I32", [1], Int32Array.of(300)),
        }),
        /^one-query\/c has a single query; fitting needs at least 2\.$/m,
      ],
      ["few-keys", sound, /^few-keys\/a has at most \d+ keys between .* than the 500 /],
      ["no-queries", smallTraceBytes({ "a.q": null }), /the trace has no tensor "a\.q"/],
    ];
    for (const [name, bytes] of traces) await Deno.writeFile(`${folder}/${name}`, bytes);
    const wrong: [string[], RegExp][] = traces.map(([name, , message]) => {
      const paper = name === "few-keys" ? ["--recipe", "paper", "--top", "500"] : [];
      return [["--trace", `${folder}/${name}`, "--out", `${folder}/map`, ...paper], message];
    });
    const fitting = ["--trace", `${folder}/few-keys`, "--steps", "1"];
    wrong.push(
      [["--trace", `${folder}/missing`, "--out", `${folder}/map`], /^Cannot read the trace /],
      [[...fitting, "--out", folder], /^Cannot write \S+: it is a folder/],
      [[...fitting, "--out", `${folder}/map`, "--val", "d"], /^--val names no context "d"/],
      [
        [...fitting, "--out", `${folder}/map`, "--checkpoint", `${folder}/gone`, "--resume"],
        /^Cannot read the checkpoint \S+gone: /,
      ],
      [
        [...fitting, "--out", `${folder}/map`, "--checkpoint", `${folder}/nan`, "--resume"],
        /^\S+nan: the file is not a checkpoint of this version of fit\.$/m,
      ],
    );
    const outcomes = await Promise.all(wrong.map(([args]) => run(...args, ...SMALL_FLAGS)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assertEquals([wrong[i][0], code, out], [wrong[i][0], 2, ""]);
      assertMatch(err, /^[^\n]+\.\n$/);
      assertMatch(err, wrong[i][1]);
    }
    assertEquals(filesIn(folder), traces.map(([name]) => name).sort());
  }));

Deno.test("fit keeps the best map on Ctrl-C, and --resume gives that of an uninterrupted run", () =>
  inFolder(async (folder) => {
    const trace = `${folder}/small.safetensors`;
    await Deno.writeFile(trace, smallTraceBytes());
    const flags = ["--trace", trace, ...SMALL_FLAGS, "--steps", "60", "--backend", "wasm"];
    const [whole, parts, state] = ["whole", "parts", "state"].map((name) => `${folder}/${name}`);
    const { code, out, err } = await run(...flags, "--out", whole);
    assertEquals(code, 0, err);
    assertMatch(out, /^Backend: wasm\nTraining on small\/a, small\/b\nHeld out: small\/c\n/);
    assertMatch(out, /\n60 steps in \d+ s .*, validation mass 0\.\d{4} at step \d+\nWritten: /);
    const map = await loadMap(whole);
    assertEquals([map.shape.headDim, map.shape.heads, map.shape.bits], [16, 2, 32]);
    assertEquals(map.about.trained_on, "small");
    assertEquals(
      map.about.command,
      `deno task fit ${flags.join(" ")}`.replace(
        /(--trace \S+) (--sink 8 --recent 8 --rope-base none) (--steps 60) (--backend wasm)/,
        "$1 $3 $2 $4",
      ),
    );

    const resumable = [...flags, "--out", parts, "--checkpoint", state];
    const child = command(MAIN, ...resumable).spawn();
    const stdout = new Response(child.stdout).text();
    let progress = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      // The signal comes twice, as under `deno task`. Reading continues while the child writes.
      const isFirst = !progress.includes("step 9:");
      progress += text;
      if (!isFirst || !progress.includes("step 9:")) continue;
      for (const signal of ["SIGINT", "SIGINT"] as const) child.kill(signal);
    }
    assertEquals((await child.status).code, 130);
    assertMatch(await stdout, /\nStopped; the best so far is written: /);
    assertEquals((await loadMap(parts)).shape, map.shape);

    const other = await run(...resumable, "--resume", "--seed", "2");
    assertEquals(other.code, 2);
    assertMatch(other.err, /: the checkpoint is of another run: seed 1 and not 2\.\n$/);
    const resumed = await run(...resumable, "--resume");
    assertEquals(resumed.code, 0, resumed.err);
    assertEquals(await Deno.readFile(parts), await Deno.readFile(whole));
    assertEquals(filesIn(folder), ["parts", "small.safetensors", "state", "whole"]);
  }));

Deno.test("fit writes one map of the KV head, and --resume refuses other planes", () =>
  inFolder(async (folder) => {
    const trace = `${folder}/small.safetensors`;
    await Deno.writeFile(trace, smallTraceBytes());
    const start = ["--layers", "1", "--sharing", "kv", "--init", "rotation", "--steps", "4"];
    const files = ["--out", `${folder}/map`, "--checkpoint", `${folder}/state`];
    const flags = ["--trace", trace, ...SMALL_FLAGS, ...start, ...files, "--backend", "wasm"];
    const { code, err } = await run(...flags, "--planes", "2");
    assertEquals(code, 0, err);
    const { shape, about } = await loadMap(`${folder}/map`);
    assertEquals([shape.sharing, shape.heads, shape.map.layers], ["kv", 1, 1]);
    assertEquals(about.planes, "2");
    assertMatch(about.command, / --layers 1 --sharing kv --planes 2 --init rotation --steps 4 /);
    const other = await run(...flags, "--planes", "1", "--resume");
    assertEquals(other.code, 2);
    assertMatch(other.err, /: the checkpoint is of another run: planes 2 and not 1, settings /);
  }));

Deno.test("fit --minutes ends a run with exit code 0", () =>
  inFolder(async (folder) => {
    const trace = `${folder}/small.safetensors`;
    await Deno.writeFile(trace, smallTraceBytes());
    const flags = ["--trace", trace, ...SMALL_FLAGS, "--steps", "90000", "--val", "none"];
    const args = [...flags, "--minutes", "0.01", "--backend", "wasm", "--out", `${folder}/map`];
    const { code, out, err } = await run(...args);
    assertEquals(code, 0, err);
    assertMatch(out, /\nHeld out: none\nEnded after 0\.01 minutes\.\n\d+ steps? in \d+ s /);
    assertEquals((await loadMap(`${folder}/map`)).about.val_mass, "none");
  }));

Deno.test("fit --backend webgpu checks the backend and trains the CPU's map up to rounding", () =>
  inFolder(async (folder) => {
    const trace = `${folder}/small.safetensors`;
    await Deno.writeFile(trace, smallTraceBytes());
    const maps = await Promise.all(["wasm", "webgpu"].map(async (backend) => {
      const flags = ["--trace", trace, ...SMALL_FLAGS, "--steps", "2", "--backend", backend];
      const { code, out, err } = await run(...flags, "--out", `${folder}/${backend}`);
      assertEquals(code, 0, err);
      assertMatch(out, backend === "wasm" ? /^Backend: wasm\n/ : /^Backend: webgpu, checked /);
      return await loadMap(`${folder}/${backend}`);
    }));
    const [wasm, webgpu] = maps.map(({ key }) => key);
    for (const [i, weight] of wasm.entries()) assertAlmostEquals(webgpu[i], weight, 1e-4);
  }));
