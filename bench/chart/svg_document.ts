/**
 * The part of the DOM that Observable Plot needs, whose elements become SVG text. A whole DOM for
 * servers would add more packages to a cold start than the plot library itself.
 */
import { escapeXml } from "./escape.ts";

const SVG = "http://www.w3.org/2000/svg";

/** A text within an element. */
class TextNode {
  parentNode: SvgElement | null = null;

  constructor(readonly data: string) {}

  toString(): string {
    return escapeXml(this.data);
  }
}

/** An element of a drawing; `toString()` is its markup. */
export class SvgElement {
  /** The parent element; null for a root. */
  parentNode: SvgElement | null = null;
  /** The child elements and texts, in order. */
  readonly childNodes: (SvgElement | TextNode)[] = [];
  readonly #attributes = new Map<string, string>();
  #declarations: Record<string, string> = {};

  /** Creates an element without a parent. */
  constructor(readonly ownerDocument: SvgDocument, readonly localName: string) {}

  /** The namespace of all elements. */
  get namespaceURI(): string {
    return SVG;
  }

  /** The child elements. */
  get children(): SvgElement[] {
    return this.childNodes.filter((node) => node instanceof SvgElement);
  }

  /** Inline CSS. Assigning a text replaces all of it; `setProperty()` sets one declaration. */
  get style(): { setProperty(name: string, value: string): void } {
    return {
      setProperty: (name, value) => {
        this.#declarations[name] = value;
      },
    };
  }

  set style(text: string) {
    this.#declarations = Object.fromEntries(
      String(text).split(";").filter((part) => part.includes(":"))
        .map((part) => [part.split(":")[0].trim(), part.slice(part.indexOf(":") + 1).trim()]),
    );
  }

  /** Replaces all children by a text. */
  set textContent(text: string | null) {
    this.childNodes.length = 0;
    if (text !== null) this.appendChild(new TextNode(String(text)));
  }

  /** The value of an attribute; null if the element does not have it. */
  getAttribute(name: string): string | null {
    return this.#attributes.get(name) ?? null;
  }

  /** Whether the element has the attribute. */
  hasAttribute(name: string): boolean {
    return this.#attributes.has(name);
  }

  /** Sets an attribute. Numbers are rounded to hundredths of a pixel, which keeps files small. */
  setAttribute(name: string, value: unknown): void {
    const rounded = String(value).replace(
      /\d+\.\d{3,}/g,
      (n) => String(Number(Number(n).toFixed(2))),
    );
    this.#attributes.set(name, rounded);
  }

  /** Like {@linkcode setAttribute}: no attribute of a chart needs its namespace. */
  setAttributeNS(_space: string, name: string, value: unknown): void {
    this.setAttribute(name, value);
  }

  /** Removes an attribute. */
  removeAttribute(name: string): void {
    this.#attributes.delete(name);
  }

  /** Appends a node to the children. */
  appendChild<T extends SvgElement | TextNode>(node: T): T {
    return this.insertBefore(node, null);
  }

  /** Inserts a node before the child `next`, or after all children. */
  insertBefore<T extends SvgElement | TextNode>(node: T, next: SvgElement | null): T {
    const before = node.parentNode?.childNodes;
    before?.splice(before.indexOf(node), 1);
    node.parentNode = this;
    this.childNodes.splice(next ? this.childNodes.indexOf(next) : this.childNodes.length, 0, node);
    return node;
  }

  /** Appends nodes and texts to the children. */
  append(...nodes: (SvgElement | string)[]): void {
    for (const node of nodes) {
      this.appendChild(typeof node === "string" ? new TextNode(node) : node);
    }
  }

  /** Finds nothing: Plot has no use for elements of a new chart. */
  querySelector(): null {
    return null;
  }

  /** Finds nothing: Plot has no use for elements of a new chart. */
  querySelectorAll(): [] {
    return [];
  }

  /** The element with its children as SVG text. */
  toString(): string {
    const style = Object.entries(this.#declarations).map((pair) => pair.join(": ")).join("; ");
    const attributes = [...this.#attributes, ...(style ? [["style", style]] : [])];
    const head = [this.localName, ...attributes.map(([k, v]) => `${k}="${escapeXml(v)}"`)];
    return this.childNodes.length === 0
      ? `<${head.join(" ")}/>`
      : `<${head.join(" ")}>${this.childNodes.join("")}</${this.localName}>`;
  }
}

/** Creates elements. */
export class SvgDocument {
  /** The root that Plot reads the namespace of new elements from. */
  readonly documentElement: SvgElement = new SvgElement(this, "svg");

  /** Creates an SVG element, whatever the namespace. */
  createElementNS(_space: string, name: string): SvgElement {
    return new SvgElement(this, name);
  }

  /** Creates an SVG element. */
  createElement(name: string): SvgElement {
    return new SvgElement(this, name);
  }

  /** Creates a text node. */
  createTextNode(text: string): TextNode {
    return new TextNode(text);
  }
}
