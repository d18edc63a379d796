/** Copies the help text of every command into `docs/commands.md`. */
import { COMMANDS_DOC, documentedTasks, helpsOf, withHelps } from "./commands_doc.ts";

const document = Deno.readTextFileSync(COMMANDS_DOC);
const synced = withHelps(document, await helpsOf(documentedTasks(document)));
if (synced !== document) {
  Deno.writeTextFileSync(COMMANDS_DOC, synced);
  console.log("docs/commands.md changed");
}
