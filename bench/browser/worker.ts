/** The worker of the page: it measures and computes, so that the page stays awake. */
import { parseTrace } from "../../fixtures/trace.ts";
import { parseMap } from "../../kernels/maps/map_file.ts";
import type { Attention } from "../measure/clock/sample_settings.ts";
import { describeDevice } from "./adapter.ts";
import { fetchBuild, fetchBytes } from "./files.ts";
import type { Reply, Request, TraceFile } from "./messages.ts";
import { runFrontierRequest } from "./frontier.ts";
import { runRequest } from "./run.ts";
import { look, type Looked, looked, lookTrace } from "./selection/look.ts";

/** The parts of a worker's global object that are used. */
interface WorkerScope {
  postMessage(reply: Reply): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Request>) => void): void;
  addEventListener(
    type: "error" | "unhandledrejection",
    listener: (event: { readonly error?: unknown; readonly reason?: unknown }) => void,
  ): void;
}

const scope = globalThis as unknown as WorkerScope;
const post = (reply: Reply) => scope.postMessage(reply);
const refuse = (error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  post({ type: "refused", message });
};

/** Attention as the page reports it. */
class PageAttention implements Attention {
  #visible = true;
  #lapses = 0;
  #waiting: (() => void)[] = [];

  set(visible: boolean): void {
    this.#visible = visible;
    if (!visible) this.#lapses++;
    else for (const resolve of this.#waiting.splice(0)) resolve();
  }

  ready(): Promise<void> {
    return this.#visible
      ? Promise.resolve()
      : new Promise((resolve) => this.#waiting.push(resolve));
  }

  watch(): () => boolean {
    const before = this.#lapses;
    return () => !this.#visible || this.#lapses !== before;
  }
}

const RUNS = { bench: runRequest, frontier: runFrontierRequest };
const attention = new PageAttention();
let trace: Looked | null = null;

scope.addEventListener("message", ({ data }) => {
  answer(data).catch(refuse);
});
// Errors of the device that no scope catches, and rejections that nothing awaits.
scope.addEventListener("error", ({ error }) => refuse(error));
scope.addEventListener("unhandledrejection", ({ reason }) => refuse(reason));

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case "attention":
      return attention.set(request.visible);
    case "describe":
      return post({ type: "device", device: await describeDevice() });
    case "run":
      return await RUNS[request.run.kind](request.run, await fetchBuild(), attention, post);
    case "trace":
      trace = await openTrace(request.source);
      return post({ type: "trace", trace: lookTrace(trace) });
    case "look":
      if (trace === null) throw new Error("no trace is open");
      return post({ type: "look", result: await look(trace, request.look) });
  }
}

/** The trace of a shipped head with its map, or a file of the user's. */
async function openTrace(source: number | TraceFile): Promise<Looked> {
  if (typeof source !== "number") {
    return looked(source.name, parseTrace(new Uint8Array(source.bytes)), null);
  }
  const head = (await fetchBuild()).heads[source];
  const [bytes, map] = await Promise.all(
    [head.trace, head.map].map((file) => fetchBytes(`data/${file}`)),
  );
  return looked(head.name, parseTrace(bytes), parseMap(map));
}
