/**
 * The adapters that this machine can be asked for. WebGPU has no list of adapters, and Deno reads
 * the backend once per process: so a child process for each backend makes each kind of request.
 */
import { backendsHere } from "./open_adapter.ts";
import type { AdapterChoice } from "../measure/device/adapter.ts";
import type { AdapterFacts } from "../measure/device/adapter.ts";
import { fitColumns, rule, type TextColumn } from "../tables/text_table.ts";
import { UsageError } from "../base/usage_error.ts";

/** An adapter and how to ask for it. */
export type ListedAdapter = AdapterChoice & Omit<AdapterFacts, "backend">;

const PROBE = `${import.meta.dirname}/adapter_probe.ts`;

/** Every adapter that some request gets, those of the usual backend and request first. */
export async function findAdapters(): Promise<ListedAdapter[]> {
  const found = await Promise.all(backendsHere().map(adaptersOf));
  return distinct(found.flat());
}

async function adaptersOf(backend: string): Promise<ListedAdapter[]> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROBE],
    env: { DENO_WEBGPU_BACKEND: backend },
    stderr: "null",
  }).output();
  // A driver that ends the process offers no adapter.
  return success ? JSON.parse(new TextDecoder().decode(stdout)) : [];
}

/** Of requests that get adapters which nothing tells apart, the first. */
export function distinct(adapters: readonly ListedAdapter[]): ListedAdapter[] {
  const first = new Map<string, ListedAdapter>();
  for (const each of adapters) {
    const identity = [each.backend, each.adapter, each.vendor, each.driver, each.software].join();
    if (!first.has(identity)) first.set(identity, each);
  }
  return [...first.values()];
}

/**
 * The adapter that `--adapter` means: a number of the list, or a part of a name in upper or lower
 * case. Of one device on several backends it is the first.
 *
 * @throws {UsageError} one sentence, if it is none or names several devices.
 */
export function pickAdapter(adapters: readonly ListedAdapter[], text: string): ListedAdapter {
  const listed = adapters.map(({ adapter, backend }, i) => `${i} ${adapter} (${backend})`);
  const all = listed.join("; ") || "none was found";
  if (/^\d+$/.test(text)) {
    const chosen = adapters[Number(text)];
    if (chosen) return chosen;
    throw new UsageError(`--adapter ${text} is no number of an adapter: ${all}.`);
  }
  const part = text.toLowerCase();
  const fits = adapters.filter(({ adapter }) => adapter.toLowerCase().includes(part));
  if (fits.length === 0) throw new UsageError(`--adapter ${text} names no adapter: ${all}.`);
  if (new Set(fits.map(({ adapter }) => adapter)).size > 1) {
    throw new UsageError(`--adapter ${text} fits several adapters: ${all}.`);
  }
  return fits[0];
}

/** How to ask for the adapter that `--adapter` names; undefined for the usual one. */
export async function adapterChoice(text: string | null): Promise<AdapterChoice | undefined> {
  if (text === null) return undefined;
  const { backend, request } = pickAdapter(await findAdapters(), text);
  return { backend, request };
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
WebGPU distinguishes adapters only by backend and preference: cards of one name, and cards that no
preference gets, cannot be asked for. On Linux VK_DRIVER_FILES decides which Vulkan drivers there are.`;

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
