/**
 * The part of the DOM that Observable Plot draws with, and no more: elements that become SVG text.
 * A whole DOM for servers would cost a cold start more packages than the plot library itself.
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
  /** Where it hangs; null for a root. */
  parentNode: SvgElement | null = null;
  /** Elements and texts within, in order. */
  readonly childNodes: (SvgElement | TextNode)[] = [];
  readonly #attributes = new Map<string, string>();
  #declarations: Record<string, string> = {};

  /** An element that hangs nowhere yet. */
  constructor(readonly ownerDocument: SvgDocument, readonly localName: string) {}

  /** All are SVG. */
  get namespaceURI(): string {
    return SVG;
  }

  /** The elements within. */
  get children(): SvgElement[] {
    return this.childNodes.filter((node) => node instanceof SvgElement);
  }

  /** Inline CSS: a text sets all of it, an object some of it. */
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

  /** Sets a text in place of all within. */
  set textContent(text: string | null) {
    this.childNodes.length = 0;
    if (text !== null) this.appendChild(new TextNode(String(text)));
  }

  /** The value of an attribute; null without it. */
  getAttribute(name: string): string | null {
    return this.#attributes.get(name) ?? null;
  }

  /** Whether it has the attribute. */
  hasAttribute(name: string): boolean {
    return this.#attributes.has(name);
  }

  /** Sets an attribute; hundredths of a pixel are fine enough, and keep files small. */
  setAttribute(name: string, value: unknown): void {
    const rounded = String(value).replace(
      /\d+\.\d{3,}/g,
      (n) => String(Number(Number(n).toFixed(2))),
    );
    this.#attributes.set(name, rounded);
  }

  /** The same: no attribute of a chart needs its namespace told. */
  setAttributeNS(_space: string, name: string, value: unknown): void {
    this.setAttribute(name, value);
  }

  /** Takes an attribute away. */
  removeAttribute(name: string): void {
    this.#attributes.delete(name);
  }

  /** Hangs a node behind all others. */
  appendChild<T extends SvgElement | TextNode>(node: T): T {
    return this.insertBefore(node, null);
  }

  /** Hangs a node before another of its own, or behind all. */
  insertBefore<T extends SvgElement | TextNode>(node: T, next: SvgElement | null): T {
    const before = node.parentNode?.childNodes;
    before?.splice(before.indexOf(node), 1);
    node.parentNode = this;
    this.childNodes.splice(next ? this.childNodes.indexOf(next) : this.childNodes.length, 0, node);
    return node;
  }

  /** Hangs nodes and texts behind all others. */
  append(...nodes: (SvgElement | string)[]): void {
    for (const node of nodes) {
      this.appendChild(typeof node === "string" ? new TextNode(node) : node);
    }
  }

  /** Plot looks for nothing in a chart that is new. */
  querySelector(): null {
    return null;
  }

  /** Plot looks for nothing in a chart that is new. */
  querySelectorAll(): [] {
    return [];
  }

  /** The element and all within as SVG text. */
  toString(): string {
    const style = Object.entries(this.#declarations).map((pair) => pair.join(": ")).join("; ");
    const attributes = [...this.#attributes, ...(style ? [["style", style]] : [])];
    const head = [this.localName, ...attributes.map(([k, v]) => `${k}="${escapeXml(v)}"`)];
    return this.childNodes.length === 0
      ? `<${head.join(" ")}/>`
      : `<${head.join(" ")}>${this.childNodes.join("")}</${this.localName}>`;
  }
}

/** What makes elements. */
export class SvgDocument {
  /** What Plot asks for the namespace of new elements. */
  readonly documentElement: SvgElement = new SvgElement(this, "svg");

  /** An element; all are SVG. */
  createElementNS(_space: string, name: string): SvgElement {
    return new SvgElement(this, name);
  }

  /** An element; all are SVG. */
  createElement(name: string): SvgElement {
    return new SvgElement(this, name);
  }

  /** A text. */
  createTextNode(text: string): TextNode {
    return new TextNode(text);
  }
}
