/** The style sheet of the report. */

/** CSS: light or dark as the reader's system is, one column on a phone, two on wider screens. */
export const STYLE: string = `
:root {
  color-scheme: light dark;
  --text: #1b1f24; --soft: #4c5662; --page: #ffffff; --card: #f6f8fa; --line: #d0d7de;
  --link: #0a58b8; --warning: #8a3b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6edf3; --soft: #a7b1bc; --page: #0d1117; --card: #161b22; --line: #373e47;
    --link: #77b7ff; --warning: #ffb57a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 80rem; padding: 0.75rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
a { color: var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px;
}
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 0.5rem; padding: 0.5rem; background: var(--page); z-index: 1; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.3rem; border-bottom: 1px solid var(--line); padding-bottom: 0.3rem; }
h3 { font-size: 1.05rem; margin: 0 0 0.5rem; }
pre { background: var(--card); padding: 0.75rem; white-space: pre-wrap; border-radius: 6px; }
nav ul, .links { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; padding: 0; margin: 0.5rem 0; }
nav li, .links li { list-style: none; }
.lead { line-height: 1.4; margin: 0.75rem 0; border-left: 4px solid var(--link); padding-left: 0.75rem; }
.lead p { margin: 0; font-weight: bold; }
.lead ul { margin: 0; padding-left: 1.2rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 0.5rem 1.5rem; }
dt { color: var(--soft); font-size: 0.875rem; }
dd { margin: 0; }
.warning { color: var(--warning); font-weight: bold; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr));
  gap: 1rem; align-items: start;
}
article {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem;
  min-width: 0;
}
figure { margin: 0; }
figure svg { display: block; width: 100%; max-width: 30rem !important; margin: 0 auto; }
.wide { grid-column: 1 / -1; }
.facts { margin: 1rem 0 2rem; }
figcaption, .caption { color: var(--soft); font-size: 0.9rem; margin-top: 0.5rem; }
details { margin-top: 0.75rem; }
summary { cursor: pointer; color: var(--link); }
.scroll { overflow: auto; max-height: 30rem; margin-top: 0.5rem; }
.open .scroll { max-height: none; }
table { border-collapse: collapse; font-size: 0.85rem; overflow-wrap: normal; }
th, td { padding: 0.25rem 0.6rem; text-align: left; border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--card); }
tbody th { font-weight: normal; }
.group th { font-weight: bold; padding-top: 0.6rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
@media (max-width: 40rem) {
  table { font-size: 0.75rem; }
  th, td { padding: 0.25rem 0.3rem; }
  article { padding: 0.5rem; }
}
@media print { body { max-width: none; } article { break-inside: avoid; } }
`;
