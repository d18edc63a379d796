/// <reference lib="dom" />
/** The entry point of the page. */
import { openCompareView, showCompared } from "./compare_view.ts";
import { byId, messageOf } from "./dom.ts";
import { fetchBuild } from "./files.ts";
import { openRunView } from "./run_view.ts";
import { openSelectionView } from "./selection/view.ts";

openRunView(showCompared);
try {
  const build = await fetchBuild();
  byId("build").textContent = `Version ${build.suiteVersion}, commit ${build.commit}.`;
  openCompareView(build);
  openSelectionView(build);
} catch (error) {
  byId("compare-failure").textContent = messageOf(error);
}
