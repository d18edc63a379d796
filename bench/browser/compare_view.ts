/// <reference lib="dom" />
/** The part of the page that shows results of several devices side by side, without running. */
import { parsePeers, type PeerTime } from "../findings/peers.ts";
import type { SourcedRow } from "../findings/series.ts";
import { describeFile } from "../results/file_kinds.ts";
import { cardOf } from "../results/card.ts";
import { parseStored } from "../results/parse_stored.ts";
import { byId, messageOf } from "./dom.ts";
import { fetchText } from "./files.ts";
import type { PageBuild } from "./messages.ts";
import { reportPartHtml, verdictHtml } from "./report_part.ts";
import { measuredRows } from "./run_view.ts";

/** Results by the name of their file. */
interface Files {
  readonly rows: Map<string, readonly SourcedRow[]>;
  /** Times of other software: a file of them names no device. */
  readonly peers: Map<string, readonly PeerTime[]>;
}

const dropped: Files = { rows: new Map(), peers: new Map() };
const shipped: Files = { rows: new Map(), peers: new Map() };

/** Makes the part work. */
export function openCompareView({ results }: PageBuild): void {
  const drop = byId("drop");
  const input = byId<HTMLInputElement>("files");
  input.addEventListener("change", () => takeFiles(input.files));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") takeFiles((event as DragEvent).dataTransfer?.files ?? null);
    });
  }
  byId("shipped").replaceChildren(
    ...results.filter((name) => !isPeers(name)).map((name) => shippedChoice(name, results)),
  );
}

/** Shows the results that are chosen, together with those of the latest run. */
export function showCompared(): void {
  const own = measuredRows().map((row) => ({ ...row, source: "this page" }));
  const chosen = [...shipped.rows.values(), ...dropped.rows.values()].flat();
  const compared = byId("compared");
  if (chosen.length === 0) {
    compared.replaceChildren();
    return;
  }
  const rows = [...own, ...chosen];
  const data = { rows, peers: peersByAdapter(rows), quality: [], tuning: [] };
  compared.innerHTML = verdictHtml(data) + reportPartHtml(data, "compared");
}

function isPeers(name: string): boolean {
  return name.endsWith("-peers.csv");
}

function shippedChoice(name: string, results: readonly string[]): HTMLLabelElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  label.append(box, ` ${name.replace(/\.csv$/, "")}`);
  const peers = name.replace(/\.csv$/, "-peers.csv");
  box.addEventListener("change", () =>
    attempt(async () => {
      shipped.rows.delete(name);
      shipped.peers.delete(peers);
      if (box.checked) {
        addResults(shipped, name, await fetchText(`results/${name}`));
        if (results.includes(peers)) addPeers(shipped, peers, await fetchText(`results/${peers}`));
      }
      showCompared();
    }));
  return label;
}

function takeFiles(files: FileList | null): void {
  attempt(async () => {
    for (const file of files ?? []) {
      const text = await file.text();
      if (describeFile(text)?.startsWith("a file of peers")) addPeers(dropped, file.name, text);
      else addResults(dropped, file.name, text);
    }
    showCompared();
  });
}

function addResults({ rows }: Files, name: string, text: string): void {
  const stored = parseStored(text, name);
  rows.set(name, stored.rows.map((row) => ({ ...row, source: name })));
  if (stored.warning !== null) byId("compare-failure").textContent = stored.warning;
}

function addPeers({ peers }: Files, name: string, text: string): void {
  peers.set(name, parsePeers(text, name));
}

/** Times of peers by adapter: a file's name begins with a part of the adapter's. */
function peersByAdapter(rows: readonly SourcedRow[]): Map<string, PeerTime[]> {
  const times = new Map<string, PeerTime[]>();
  const adapters = [...new Set(rows.map(({ adapter }) => adapter))];
  for (const [name, found] of [...shipped.peers, ...dropped.peers]) {
    const card = cardOf(name.split("-")[0]);
    for (const adapter of adapters.filter((each) => cardOf(each).includes(card))) {
      times.set(adapter, [...times.get(adapter) ?? [], ...found]);
    }
  }
  return times;
}

async function attempt(work: () => Promise<void>): Promise<void> {
  const failure = byId("compare-failure");
  failure.textContent = "";
  try {
    await work();
  } catch (error) {
    failure.textContent = messageOf(error);
  }
}
