/** An ONNX model of one node, written as the protocol buffer that ONNX Runtime reads. */

/** Heads and dimensions of an attention layer. */
export interface Shape {
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** ONNX's numbers of the types of elements. */
const ELEMENT = { float16: 10, int32: 6 } as const;

/** ONNX's number of an attribute that is an integer. */
const INTEGER_ATTRIBUTE = 2;

/**
 * The model: one `com.microsoft.GroupQueryAttention` for a token of a sequence. Rows of the cache are
 * a free dimension, so one model serves all lengths.
 */
export function groupQueryAttentionModel({ qHeads, kvHeads, headDim }: Shape): Uint8Array {
  const cache = (rows: string) => [1, kvHeads, rows, headDim];
  const inputs = [
    value("query", "float16", [1, 1, qHeads * headDim]),
    value("key", "float16", [1, 1, kvHeads * headDim]),
    value("value", "float16", [1, 1, kvHeads * headDim]),
    value("past_key", "float16", cache("past")),
    value("past_value", "float16", cache("past")),
    value("seqlens_k", "int32", [1]),
    value("total_sequence_length", "int32", [1]),
  ];
  const outputs = [
    value("output", "float16", [1, 1, qHeads * headDim]),
    value("present_key", "float16", cache("present")),
    value("present_value", "float16", cache("present")),
  ];
  const node = [
    inputs.map(({ name }) => text(1, name)),
    outputs.map(({ name }) => text(2, name)),
    text(4, "GroupQueryAttention"),
    integerAttribute("num_heads", qHeads),
    integerAttribute("kv_num_heads", kvHeads),
    text(7, "com.microsoft"),
  ].flat(2);
  const graph = [
    message(1, node),
    text(2, "attention"),
    inputs.map(({ info }) => message(11, info)),
    outputs.map(({ info }) => message(12, info)),
  ].flat(2);
  return Uint8Array.from([
    integer(1, 10), // version of the format
    message(7, graph),
    message(8, [...text(1, ""), ...integer(2, 21)]), // versions of the sets of operators
    message(8, [...text(1, "com.microsoft"), ...integer(2, 1)]),
  ].flat());
}

/** An input or output of the graph. A dimension with a name is free. */
function value(name: string, type: keyof typeof ELEMENT, dims: readonly (number | string)[]) {
  const shape = dims.flatMap((dim) =>
    message(1, typeof dim === "number" ? integer(1, dim) : text(2, dim))
  );
  const tensor = [...integer(1, ELEMENT[type]), ...message(2, shape)];
  return { name, info: [...text(1, name), ...message(2, message(1, tensor))] };
}

function integerAttribute(name: string, number: number): number[] {
  return message(5, [...text(1, name), ...integer(3, number), ...integer(20, INTEGER_ATTRIBUTE)]);
}

/** A field of a protocol buffer: its number and wire type, then what it holds. */
function integer(field: number, number: number): number[] {
  return [...varint(field * 8), ...varint(number)];
}

function message(field: number, bytes: readonly number[]): number[] {
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
}

function text(field: number, characters: string): number[] {
  return message(field, Array.from(new TextEncoder().encode(characters)));
}

/** A number from 0 to 2^31 - 1 in groups of 7 bits, the lowest first. */
function varint(number: number): number[] {
  return number < 128 ? [number] : [number % 128 + 128, ...varint(number >> 7)];
}
