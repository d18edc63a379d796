/** Runs the quick profile of `frontier` in a worker, and reports to the page as it goes. */
import { parseTrace } from "../../fixtures/trace.ts";
import { parseMap } from "../../kernels/maps/map_file.ts";
import { clockText } from "../base/clock_text.ts";
import { SystemError } from "../base/system_error.ts";
import {
  FRONTIER_METHODS,
  QUICK_BUDGETS,
  QUICK_KV_LEN,
  QUICK_METHODS,
} from "../frontier_runner/methods.ts";
import { type MappedTrace, runFrontier } from "../frontier_runner/run.ts";
import { truthOf } from "../frontier_runner/truth.ts";
import type { Attention } from "../measure/clock/sample_settings.ts";
import { openSession } from "../measure/session.ts";
import { openBrowserAdapter } from "./adapter.ts";
import { fetchBytes } from "./files.ts";
import type { PageBuild, Reply, RunRequest } from "./messages.ts";
import { readPageOptions } from "./presets.ts";
import { sessionReply, settingsOf } from "./run.ts";

/** The shape of the timed steps, and the windows: the defaults of `frontier`. */
const SHAPE = { qHeads: 32, kvHeads: 8, headDim: 128 };
const WINDOWS = { sink: 128, recent: 128 };

/**
 * Runs the profile.
 *
 * @throws {SystemError} in one sentence, if nothing can be measured.
 */
export async function runFrontierRequest(
  { args, memoryBytes }: RunRequest,
  build: PageBuild,
  attention: Attention,
  post: (reply: Reply) => void,
): Promise<void> {
  const settings = settingsOf(readPageOptions(args), memoryBytes, build);
  const progress = (message: string, fraction: number) =>
    post({ type: "progress", message, fraction });
  const traces = await readTraces(build, progress);
  const host = await openBrowserAdapter();
  const session = await openSession(host, {
    ...settings,
    tuning: build.tuning,
    attention,
    onProgress: () => {},
  });
  post(sessionReply(session, settings));
  const run = {
    session,
    methods: FRONTIER_METHODS.filter(({ name }) => QUICK_METHODS.includes(name)),
    budgets: QUICK_BUDGETS,
    kvLens: [QUICK_KV_LEN],
    shape: SHAPE,
    windows: WINDOWS,
    traces,
    earlier: [],
    onRows: (rows: Extract<Reply, { type: "frontier" }>["rows"]) =>
      post({ type: "frontier", rows }),
    onProgress: (message: string, fraction: number, leftMs: number) =>
      progress(`about ${clockText(leftMs)} left, ${message}`, fraction),
  };
  const notes = { tooLarge: [], tuned: [], qualities: [] };
  try {
    const { leftOut, failures } = await runFrontier(run);
    const failure = failures.length === 0 ? null : `FAILED: ${failures.join("; ")}.`;
    post({ type: "done", notes: { ...notes, leftOut }, failure });
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    post({ type: "done", notes: { ...notes, leftOut: [] }, failure: error.message });
  }
  session.device.destroy();
}

/** The shipped traces with their maps and exact attention. */
async function readTraces(
  { heads }: PageBuild,
  progress: (message: string, fraction: number) => void,
): Promise<MappedTrace[]> {
  const found: MappedTrace[] = [];
  for (const { name, trace, map, hataMap, dataDigest } of heads) {
    progress(`${name}: exact attention`, 0);
    const [bytes, ...maps] = await Promise.all(
      [trace, map, hataMap].map((file) => fetchBytes(`data/${file}`)),
    );
    const truth = await truthOf(name, parseTrace(bytes));
    if (truth === null) continue;
    const [learned, hata] = maps.map((file) => parseMap(file));
    found.push({ truth, maps: { map: learned, "hata-map": hata }, dataDigest });
  }
  return found;
}
