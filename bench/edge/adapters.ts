/**
 * Lists the adapters of this machine. WebGPU cannot list adapters, and Deno reads the backend once
 * per process. A child process for each backend therefore makes every kind of request.
 */
import { backendsHere, type OpenOptions } from "./open_adapter.ts";
import { type GpuChoice, WGPU } from "../measure/device/gpu_choice.ts";
import type { AdapterChoice } from "../measure/device/adapter.ts";
import type { AdapterFacts } from "../measure/device/adapter.ts";
import { fitColumns, rule, type TextColumn } from "../tables/text_table.ts";
import { UsageError } from "../base/usage_error.ts";

/** An adapter and the request that gets it. */
export type ListedAdapter = AdapterChoice & Omit<AdapterFacts, "backend">;

const PROBE = `${import.meta.dirname}/adapter_probe.ts`;

/** Every adapter that some request gets. Those of the usual backend and request come first. */
export async function findAdapters(gpu: GpuChoice = WGPU): Promise<ListedAdapter[]> {
  // Dawn has one backend on each system.
  const backends = gpu.gpu === "dawn" ? [undefined] : backendsHere();
  const found = await Promise.all(backends.map((backend) => adaptersOf(gpu, backend)));
  return distinct(found.flat());
}

async function adaptersOf(gpu: GpuChoice, backend?: string): Promise<ListedAdapter[]> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROBE, JSON.stringify(gpu)],
    env: backend === undefined ? {} : { DENO_WEBGPU_BACKEND: backend },
    stderr: "null",
  }).output();
  // A driver that crashes the child offers no adapter.
  return success ? JSON.parse(new TextDecoder().decode(stdout)) : [];
}

/** Keeps the first of several adapters that have the same facts. */
export function distinct(adapters: readonly ListedAdapter[]): ListedAdapter[] {
  const first = new Map<string, ListedAdapter>();
  for (const each of adapters) {
    const identity = [each.backend, each.adapter, each.vendor, each.driver, each.software].join();
    if (!first.has(identity)) first.set(identity, each);
  }
  return [...first.values()];
}

/**
 * Picks the adapter that `--adapter` names by its number in the list or by a part of its name, in
 * upper or lower case. The first entry wins if one device is listed on several backends.
 *
 * @throws {UsageError} in one sentence, if no device or several devices match.
 */
export function pickAdapter(adapters: readonly ListedAdapter[], text: string): ListedAdapter {
  const listed = adapters.map(({ adapter, backend }, i) => `${i} ${adapter} (${backend})`);
  const all = listed.join("; ") || "none was found";
  if (/^\d+$/.test(text)) {
    const chosen = adapters[Number(text)];
    if (chosen) return chosen;
    throw new UsageError(`--adapter ${text} is not the number of an adapter: ${all}.`);
  }
  const part = text.toLowerCase();
  const matches = adapters.filter(({ adapter }) => adapter.toLowerCase().includes(part));
  if (matches.length === 0) throw new UsageError(`--adapter ${text} matches no adapter: ${all}.`);
  if (new Set(matches.map(({ adapter }) => adapter)).size > 1) {
    throw new UsageError(`--adapter ${text} matches several adapters: ${all}.`);
  }
  return matches[0];
}

/** How to open the adapter that `--adapter` names, or the usual one, of an implementation. */
export async function adapterChoice(
  { adapter, gpu }: { readonly adapter: string | null; readonly gpu: GpuChoice },
): Promise<OpenOptions> {
  if (adapter === null) return { gpu };
  const { backend, request } = pickAdapter(await findAdapters(gpu), adapter);
  return gpu.gpu === "dawn" ? { gpu, request } : { gpu, backend, request };
}

const COLUMNS: readonly TextColumn[] = [
  { heading: "" },
  { heading: "adapter", words: true },
  { heading: "kind", words: true },
  { heading: "backend", words: true },
  { heading: "asked for as", words: true },
  { heading: "driver", words: true, importance: 0 },
];

const NOTE = `\
WebGPU selects adapters by backend and preference alone. It cannot choose between cards of the same
name, nor reach a card that no preference selects. On Linux, VK_DRIVER_FILES names the Vulkan
drivers to load.`;

/** The text of `--list-adapters`. */
export function formatAdapters(adapters: readonly ListedAdapter[], width?: number): string {
  if (adapters.length === 0) return `No WebGPU adapter was found.\n\n${NOTE}`;
  const cells = adapters.map(({ adapter, software, backend, request, driver }, i) => [
    String(i),
    adapter,
    software ? "software" : "hardware",
    backend,
    request,
    driver,
  ]);
  const { lines } = fitColumns(COLUMNS, cells, width);
  return [lines[0], rule(lines), ...lines.slice(1), "", NOTE].join("\n");
}
