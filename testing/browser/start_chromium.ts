/** Test support: starts a Chromium, with WebGPU on its software adapter. */
import { type Browser, chromium } from "playwright-core";
import { findChromium } from "./chromium.ts";

/** Starts the Chromium that {@linkcode findChromium} finds. */
export async function startChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error("no Chromium is installed");
  return await chromium.launch({
    executablePath,
    args: ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu"],
  });
}
