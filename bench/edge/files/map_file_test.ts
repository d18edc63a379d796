import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseMap } from "../../../kernels/maps/map_file.ts";
import { authorsName, fileOf, makeMaps, tensorsOf } from "../../../testing/inputs/maps.ts";
import { InvalidFileError, writeSafetensors } from "../../../kernels/maps/safetensors.ts";
import { loadMap, saveMap } from "./map_file.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const MAPS = makeMaps(2, [5, 3, 4]);

Deno.test("loadMap() reads what saveMap() wrote, and no other file is left in the folder", () =>
  inFolder(async (folder) => {
    const map = parseMap(fileOf(MAPS, "F16", { command: "deno task fit" }));
    const path = `${folder}/map.safetensors`;
    saveMap(path, map);
    assertEquals(await loadMap(path), map);
    saveMap(new URL(`file://${path}`), map);
    assertEquals(await loadMap(new URL(`file://${path}`)), map);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["map.safetensors"]);
  }));

Deno.test("saveMap() leaves the file as it was if the map cannot be written", () =>
  inFolder(async (folder) => {
    const map = parseMap(fileOf(MAPS, "F32"));
    const path = `${folder}/map.safetensors`;
    saveMap(path, map);
    const broken = { ...map, key: map.key.slice().fill(Infinity) };
    assertThrows(() => saveMap(path, broken), InvalidFileError, "holds Infinity");
    assertEquals(await loadMap(path), map);
    const nowhere = `${folder}/no/such.safetensors`;
    const message = `cannot write the map ${nowhere}: `;
    assertThrows(() => saveMap(nowhere, map), InvalidFileError, message);
  }));

Deno.test("loadMap() reads one attention layer of a file with the authors' names", () =>
  inFolder(async (folder) => {
    const path = `${folder}/patch.safetensors`;
    const layers = [0, 1].map((layer) =>
      tensorsOf(makeMaps(2, [5, 4], layer), "F32", authorsName(layer))
    );
    await Deno.writeFile(path, writeSafetensors(new Map(layers.flatMap((each) => [...each]))));
    const map = await loadMap(path, { layer: 1 });
    assertEquals(map, parseMap(fileOf(makeMaps(2, [5, 4], 1), "F32")));
    await assertRejects(() => loadMap(path), InvalidFileError, `${path}: the file has maps`);
  }));

Deno.test("loadMap() names a missing file in its error", () =>
  assertRejects(
    () => loadMap("no/such.safetensors"),
    InvalidFileError,
    "cannot read the map no/such.safetensors",
  ).then(() => {}));
