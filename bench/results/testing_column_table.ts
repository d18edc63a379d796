/** Test support: the columns of a schema as lines of a Markdown table. */
import * as v from "valibot";
import type { RowSchema } from "./columns.ts";

/** The table of columns in docs/results.md, without the spaces that align its cells. */
export function columnTable(schema: RowSchema<v.ObjectEntries>): string[] {
  const lines = Object.entries(schema.entries).map(([name, entry]) =>
    `| \`${name}\` | ${valuesOf(entry)} | ${noteOf(entry)} |`
  );
  return ["| column | values | meaning |", "| --- | --- | --- |", ...lines];
}

type Entry = v.ObjectEntries[string];

function noteOf(entry: Entry): string | undefined {
  const schema = entry.type === "optional" ? wrapped(entry) : entry;
  return v.getDescription(schema as v.GenericSchema);
}

/** The values that a schema accepts, such as `whole number or empty`. */
function valuesOf(schema: Entry): string {
  switch (schema.type) {
    case "boolean":
      return "`true` or `false`";
    case "number":
      return isWhole(schema) ? "whole number" : "number";
    case "literal":
      return `\`${(schema as v.LiteralSchema<string, undefined>).literal}\``;
    case "nullable":
      return `${valuesOf(wrapped(schema))} or empty`;
    case "optional":
      return `${valuesOf(wrapped(schema))}; may be missing`;
    case "picklist":
      return (schema as v.PicklistSchema<string[], undefined>).options
        .map((word) => word === "" ? "empty" : `\`${word}\``).join(", ");
    case "union":
      return (schema as v.UnionSchema<v.GenericSchema[], undefined>).options
        .map(valuesOf).join(" or ");
    default:
      return "text";
  }
}

function isWhole(item: { readonly type: string }): boolean {
  if (item.type === "safe_integer") return true;
  return "pipe" in item && (item.pipe as Entry[]).some(isWhole);
}

function wrapped(schema: Entry): Entry {
  return (schema as v.OptionalSchema<v.GenericSchema, undefined>).wrapped;
}
