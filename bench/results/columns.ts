/** Columns of CSV files as valibot schemas, and rows read from CSV by such schemas. */
import * as v from "valibot";
import { type CsvFormat, csvLines, damaged, decimalNumber, truthValue } from "./csv_lines.ts";

/** A size, a time or a rate: no number of a row is negative. */
export const AMOUNT = v.pipe(v.number(), v.finite(), v.minValue(0));

/** A whole amount. */
export const COUNT = v.pipe(AMOUNT, v.safeInteger());

/** The schema of a column, with a note on its meaning and unit. */
export function column<Schema extends v.GenericSchema>(schema: Schema, note: string) {
  return v.pipe(schema, v.description(note));
}

/** The schema of a row: an entry per column, in the order of the columns. */
export type RowSchema<Entries extends v.ObjectEntries> = v.StrictObjectSchema<Entries, undefined>;

type Entry = v.ObjectEntries[string];

/** The names of the columns, in order. */
export function columnNames<Entries extends v.ObjectEntries>(
  schema: RowSchema<Entries>,
): (keyof Entries & string)[] {
  return Object.keys(schema.entries);
}

/** The names of the columns that a file may lack. */
export function optionalNames<Entries extends v.ObjectEntries>(
  schema: RowSchema<Entries>,
): (keyof Entries & string)[] {
  return columnNames(schema).filter((name) => schema.entries[name].type === "optional");
}

/** The default message of a column's schema. The field's text follows it. */
const COMPLAINT = { message: "cannot be", abortEarly: true };

/** A row and its line number in the file, from 1. */
export interface RowLine<Row> {
  readonly line: number;
  readonly row: Row;
}

/**
 * The rows of a CSV text whose columns a schema describes. An error puts the message of a column's
 * schema between the column's name and the field, as in `kv_len takes a number, not "8k"`.
 *
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseRows<Entries extends v.ObjectEntries>(
  text: string,
  schema: RowSchema<Entries>,
  format: Omit<CsvFormat<string>, "optional">,
): RowLine<v.InferOutput<RowSchema<Entries>>>[] {
  const names = columnNames(schema);
  const lines = csvLines(text, names, { ...format, optional: optionalNames(schema) });
  return lines.map(({ line, text }) => {
    const values = names.map((name) => [name, valueOf(schema.entries[name], text(name))]);
    const result = v.safeParse(schema, Object.fromEntries(values), COMPLAINT);
    if (result.success) return { line, row: result.output };
    const [issue] = result.issues;
    const name = v.getDotPath(issue)!;
    throw damaged(format.path, line, `${name} ${issue.message} "${text(name)}"`);
  });
}

/** Converts a field's text to a value, which the schema checks afterwards. */
function valueOf(schema: Entry, text: string): unknown {
  switch (schema.type) {
    case "number":
      return decimalNumber(text);
    case "boolean":
      return truthValue(text);
    case "nullable":
      return text === "" ? null : valueOf(wrapped(schema), text);
    case "optional":
      // An empty field and a missing column both have the default.
      return text === "" ? undefined : valueOf(wrapped(schema), text);
    case "union": {
      const { options } = schema as v.UnionSchema<v.GenericSchema[], undefined>;
      const values = options.map((option) => valueOf(option, text));
      return values.find((value, i) => v.is(options[i], value));
    }
    default:
      return text;
  }
}

function wrapped(schema: Entry): Entry {
  return (schema as v.OptionalSchema<v.GenericSchema, undefined>).wrapped;
}
