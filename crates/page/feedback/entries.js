// For experts: what a correction put into the codebook, and what merged with what.

import { el, put, trouble } from "./dom.js";
import { get } from "./api.js";
import { chip, table } from "./parts.js";
import { knows, number, t } from "./words.js";

/** Fills a section with the entries of an edit and the keys they belong to: what merged with what is told by the key. */
export async function showEntries(root, edit, signal) {
  const names = [...new Set(edit.entries.map((entry) => entry.merged_into || entry.id))];
  const keys = new Map();
  try {
    // A few at a time: an edit has tens of entries at most.
    for (let at = 0; at < names.length; at += 6) {
      const page = await Promise.all(names.slice(at, at + 6).map((name) => get(`/codebook/entries/${name}`, {}, { signal }).catch((error) => {
        if (error.status === 404) return null;
        throw error;
      })));
      page.forEach((key, nth) => keys.set(names[at + nth], key));
    }
  } catch (error) {
    if (error.name !== "AbortError") put(root, root.firstChild, trouble(error));
    return;
  }
  // What an answer is stored as is a sentence of the service's own making, in English.
  const rows = edit.entries.map((entry) => {
    const key = keys.get(entry.merged_into || entry.id);
    return el("tr", {}, el("td", {}, chip(knows(`kind.${entry.kind}`) ? t(`kind.${entry.kind}`) : entry.kind)), el("td", { lang: entry.kind === "answer" ? "en" : null }, entry.value), el("td", {}, place(key)),
      el("td", {}, number(entry.radius)), el("td", {}, merges(edit, entry, key)));
  });
  const own = edit.entries.filter((entry) => entry.merged_into === null).length;
  put(root, root.firstChild,
    el("p", {}, t("entries.count", { n: edit.entries.length }), " ", own === edit.entries.length ? t("entries.own.all") : t("entries.own", { n: own })),
    table(t("entries.table"), [t("entries.kind"), t("entries.sentence"), t("entries.of"), t("entries.radius"), t("entries.merges")], rows));
}

/** What an entry that is alone in its key was said of; merged ones are told by what they merged with. */
function place(key) {
  if (!key || key.members.length > 1) return "–";
  const { evidence } = key.values[0];
  return evidence === null ? t("entries.whole") : t("box.at", evidence);
}

function merges(edit, entry, key) {
  if (!key) return t("entries.gone");
  if (!entry.merged_into && key.members.length === 1) return "–";
  const others = [...new Set(key.values.flatMap((value) => value.edit_ids))].filter((id) => id !== edit.id);
  const links = others.slice(0, 3).map((id, at) => [at > 0 ? ", " : " ", el("a", { href: `#/edits/${id}` }, `…${id.slice(-6)}`)]).flat();
  const more = others.length > 3 ? [" ", t("entries.more", { n: others.length - 3 })] : null;
  return el("span", {}, entry.merged_into ? t("entries.into", { n: key.members.length }) : t("entries.took-in", { n: key.members.length - 1 }), " ",
    links.length > 0 ? [t("entries.with"), links, more] : t("entries.of-this"));
}
