import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { known, type LogLine, type LogSubject, parseLog } from "./log.ts";
import { openLog } from "../edge/files/tune_log.ts";
import type { Measured } from "./messages.ts";

const SUBJECT: LogSubject = {
  adapter: "Some GPU",
  driver: "1.0",
  backend: "vulkan",
  compiler: "naga",
  case_id: "32x8x128",
  kernel: "dense/split",
  checksum: "abc",
};
const MEASURED: Measured = {
  phase: "explore",
  params: { LANES: 8 },
  us: 12.5,
  low: 12,
  high: 13,
  samples: 7,
  failure: null,
};
const LINE: LogLine = {
  utc: "2026-07-03T12:34:56.789Z",
  ...SUBJECT,
  type: "measured",
  ...MEASURED,
};
const OPENED = { type: "opened", defaults: { LANES: 16 } } as const;

function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("known() finds the appended lines of a subject, and none of other subjects", () =>
  inFolder((folder) => {
    const log = openLog(`${folder}/new`);
    log.append(LINE);
    log.append({ ...LINE, driver: "2.0", type: "done" } as LogLine);
    log.append({ ...LINE, ...OPENED } as LogLine);
    log.close();
    const again = openLog(`${folder}/new`, { resume: true });
    again.close();
    assertEquals(known(again.lines, SUBJECT), {
      defaults: OPENED.defaults,
      measured: [MEASURED],
      done: false,
    });
    assertEquals(known(again.lines, { ...SUBJECT, driver: "2.0" }), {
      defaults: null,
      measured: [],
      done: true,
    });
  }));

Deno.test("parseLog() reads logs of earlier versions, with three phases and strategies", () => {
  const opened = { ...LINE, ...OPENED, allowed: 3, strategy: "random" };
  const round = { ...LINE, phase: "round" };
  const text = [opened, round].map((line) => `${JSON.stringify(line)}\n`).join("");
  // A measurement of the former middle phase was not measured in full.
  assertEquals(known(parseLog(text, "t"), SUBJECT), {
    defaults: OPENED.defaults,
    measured: [{ ...MEASURED, phase: "explore" }],
    done: false,
  });
});

Deno.test("openLog() cuts off an unfinished line of a killed run", () =>
  inFolder((folder) => {
    const whole = `${JSON.stringify(LINE)}\n`;
    for (let end = 0; end < whole.length; end += 37) {
      Deno.writeTextFileSync(`${folder}/tune.jsonl`, whole + whole.slice(0, end));
      const log = openLog(folder, { resume: true });
      log.append({ ...LINE, kernel: "dense/other" });
      log.close();
      const lines = parseLog(Deno.readTextFileSync(log.path), log.path);
      assertEquals(lines.map(({ kernel }) => kernel), ["dense/split", "dense/other"]);
    }
  }));

Deno.test("openLog() refuses an existing, a missing and a damaged log", () =>
  inFolder((folder) => {
    assertThrows(() => openLog(folder, { resume: true }), UsageError, "nothing to resume");
    Deno.writeTextFileSync(`${folder}/tune.jsonl`, `${JSON.stringify(LINE)}\n{"type":"other"}\n`);
    assertThrows(() => openLog(folder), UsageError, "--resume continues it");
    assertThrows(
      () => openLog(folder, { resume: true }),
      UsageError,
      "line 2 is not a line of a tuner's log",
    );
    const wrong = { ...LINE, params: { LANES: "eight" } };
    assertThrows(
      () => parseLog(`${JSON.stringify(wrong)}\n`, "t"),
      UsageError,
      "line 1 is not a line",
    );
    const twice = JSON.stringify(LINE).replace('"us":', '"us":1,"us":');
    assertThrows(() => parseLog(`${twice}\n`, "t"), UsageError, "line 1 is not a line");
    const negative = JSON.stringify({ ...LINE, us: -5 });
    assertThrows(() => parseLog(`${negative}\n`, "t"), UsageError, "line 1 is not a line");
  }));

Deno.test("openLog() gives each run its own log, and each fresh run its own folder", () =>
  inFolder((folder) => {
    const first = openLog(`${folder}/same`, { fresh: true });
    const second = openLog(`${folder}/same`, { fresh: true });
    assertEquals([first.dir, second.dir], [`${folder}/same`, `${folder}/same-2`]);
    first.append(LINE);
    const message = `Another run is writing to ${folder}/same; choose another --out.`;
    assertThrows(() => openLog(first.dir, { resume: true }), UsageError, message);
    assertEquals(Deno.readTextFileSync(first.path), `${JSON.stringify(LINE)}\n`);
    first.close();
    openLog(first.dir, { resume: true }).close();
    second.close();
  }));
