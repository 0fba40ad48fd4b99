// Prints, as JSON, what caniemail.com says of a mail: the features that a client
// does not support at all, and those that it supports in part, with its notes.
import { caniemail } from "caniemail";
import { readFile } from "node:fs/promises";

const html = await readFile(process.argv[2], "utf8");
const { issues } = caniemail({ clients: ["gmail.*", "outlook.*", "apple-mail.*"], html });
const out = {};
for (const kind of ["errors", "warnings"]) {
  for (const [client, found] of issues[kind]) {
    for (const { title, notes } of found) {
      ((out[kind] ??= {})[title] ??= {})[client] = notes ?? [];
    }
  }
}
console.log(JSON.stringify(out));
