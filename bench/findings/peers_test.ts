import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parsePeers } from "./peers.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { UsageError } from "../base/usage_error.ts";

const HEADER = "peer,batch,q_heads,kv_heads,head_dim,kv_len,us_median,gbytes_per_s";
const STORED = `${import.meta.dirname}/../../fixtures/results/h100-2026-11-28-peers.csv`;

Deno.test("readPeers() reads the stored peers", () => {
  const peers = readPeers([STORED]);
  assertEquals(peers.length, 52);
  assertEquals(peers[1], {
    stage: "decode",
    peer: "torch_cudnn",
    batch: 1,
    qHeads: 32,
    kvHeads: 8,
    headDim: 128,
    kvLen: 8192,
    medianUs: 19.6,
  });
  assertEquals(readPeers([STORED, STORED]).length, 104);
});

Deno.test("parsePeers() accepts repeated headers, any line ends and rows without sizes", () => {
  const lines = [
    HEADER,
    "copy,,,,,,714.9,3004",
    "a,1,2,1,64,100,5,",
    HEADER,
    "b,8,2,1,64,100,1e1,2",
  ];
  const medians = (text: string) =>
    parsePeers(text, "p").map(({ peer, batch, medianUs }) => [peer, batch, medianUs]);
  const expected = [["a", 1, 5], ["b", 8, 10]];
  assertEquals(medians(lines.join("\n")), expected);
  assertEquals(medians(`\ufeff${lines.join("\r\n")}\r\n\r\n`), expected);
  assertEquals(parsePeers(HEADER, "p"), []);
});

Deno.test("parsePeers() reads tables that statistics programs saved", () => {
  const plain = [HEADER, "a,1,2,1,64,100,5,", "copy,,,,,,714.9,3004"].join("\n");
  const all = plain.split("\n").map((line) => line.split(",").map((text) => `"${text}"`).join());
  const r = [
    `"",${all[0]}`,
    `"1","a",1,2,1,64,100,5,NA`,
    `"2","copy",NA,NA,NA,NA,NA,714.9,3004`,
  ];
  const pandas = [HEADER, "a,1.0,2.0,1.0,64.0,100.0,5.0,", "copy,,,,,,714.9,3004.0"];
  for (const lines of [all, r, pandas]) {
    assertEquals(parsePeers(`${lines.join("\r\n")}\r\n`, "p"), parsePeers(plain, "p"));
  }
});

Deno.test("parsePeers() reads the stage from a column that some files may lack", () => {
  const text = [
    HEADER,
    "torch_cudnn,1,32,8,128,8192,19.4,1726",
    `${HEADER},stage`,
    "torch_cudnn,1,32,8,128,8192,989,,prefill",
    "torch_flash,1,32,8,128,8192,26.4,,decode",
    "torch_flash,1,32,8,128,8192,26.5,,",
    `${HEADER},stage`,
    "torch_flash,1,32,8,128,8192,1749,,prefill",
    HEADER,
    "torch_topk,1,32,8,128,8192,50.5,",
  ];
  const stages = (text: string) =>
    parsePeers(text, "p").map(({ stage, peer, medianUs }) => [stage, peer, medianUs]);
  const expected = [
    ["decode", "torch_cudnn", 19.4],
    ["prefill", "torch_cudnn", 989],
    ["decode", "torch_flash", 26.4],
    ["decode", "torch_flash", 26.5],
    ["prefill", "torch_flash", 1749],
    ["decode", "torch_topk", 50.5],
  ];
  assertEquals(stages(text.join("\n")), expected);
  assertEquals(stages(`\ufeff${text.join("\r\n")}\r\n`), expected);
  assertEquals(stages(text.slice(2, 4).join("\n")), expected.slice(1, 2));
});

Deno.test("parsePeers() refuses a damaged file in one sentence with the line", () => {
  const wrong: Record<string, RegExp> = {
    "": /^p\.csv has other columns; --peers takes a CSV with the columns peer, batch, /,
    "peer,batch\n": /^p\.csv has other columns; --peers takes a CSV with the columns peer, batch, /,
    [`${HEADER},more\n`]: /^p\.csv has other columns; --peers takes/,
    [HEADER.replace("batch", "peer")]: /^p\.csv, line 1: has the column "peer" twice\.$/,
    "utc,suite_version,case_id\n":
      /^p\.csv is a file of results; --peers takes a CSV .+_per_s and, optionally, stage\.$/,
    [`${HEADER}\na,1,32,8,128,8192,-5,\n`]: /line 2: us_median takes a number above 0, not "-5"/,
    [`${HEADER}\na,1,2\n`]: /^p\.csv, line 2: has 3 fields, expected 8\.$/,
    [`${HEADER}\n\na,1,32,8,128,8k,5,\n`]: /line 3: kv_len takes a whole number above 0, not "8k"/,
    [`${HEADER}\na,,32,8,128,8192,5,\n`]: /line 2: batch takes a whole number above 0, not ""/,
    [`${HEADER}\na,1,32,8,128,8192,fast,\n`]: /line 2: us_median .* above 0, not "fast"/,
    [`${HEADER}\na,1,32,8,128,8192,0,\n`]: /line 2: us_median takes a number above 0, not "0"/,
    [`${HEADER}\na,1,32,8,128,8192,5,x\n`]: /line 2: gbytes_per_s takes a number above 0, not "x"/,
    [`${HEADER}\n,1,32,8,128,8192,5,\n`]: /line 2: names no peer/,
    [`${HEADER},stage\na,1,32,8,128,8192,5,,prompt\n`]:
      /line 2: stage takes decode or prefill, not/,
    [`${HEADER},stage\na,1,32,8,128,8192,5,\n`]: /line 2: has 8 fields, expected 9/,
    [`${HEADER},stage\n\n${HEADER}\na,1,32,8,128,8192,5,,prefill\n`]:
      /line 4: has 9 fields, expected 8/,
    [`${HEADER}\na"b",1,32,8,128,8192,5,\n`]: /line 2: is not CSV/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    refused(() => parsePeers(text, "p.csv"), message);
  }
  refused(() => readPeers([STORED, "/missing/peers.csv"]), /^Cannot read \/missing\/peers\.csv: /);
});

function refused(call: () => unknown, message: RegExp): void {
  const error = assertThrows(call, UsageError);
  assertMatch(error.message, message);
  assertMatch(error.message, /^[^\n]+\.$/);
}
