// One edit: what was said, where it is seen, what it put into the codebook, how often it was used; and taking it back.

import { announce, button, count, duration, el, number, pair, percent, put, several, trouble, when } from "./dom.js";
import { get, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { stored } from "./picture.js";
import { KINDS, chip, heading, meter, opinion, rivals, table, warned } from "./parts.js";
import { took } from "./edits.js";

/** The page of an edit. `askAgain` takes it to the first page. */
export async function showEdit(root, id, signal, askAgain) {
  document.title = "Edit · ReasonEdit";
  put(root, el("p", { class: "hint" }, "Looking…"));
  let edit;
  try {
    edit = await get(`/edits/${encodeURIComponent(id)}`, {}, { signal });
  } catch (error) {
    if (error.name === "AbortError") return;
    put(root, heading("Edit"), error.status === 404
      ? el("p", { class: "none" }, "There is no such edit in this codebook: it was reverted, or belongs to another codebook. ", el("a", { href: "#/edits" }, "All edits"))
      : trouble(error));
    return;
  }
  document.title = `${edit.question} · ReasonEdit`;
  const revert = button("Revert…", () => takeBack(edit, problem), { class: "quiet danger" });
  const problem = el("div");
  const picture = stored(edit.image.id, boxesOf(edit, null), `The picture of this edit, with the evidence of ${several(edit.reasoning.length, "statement")}`, edit.image);
  const keys = el("section", { class: "card", "aria-labelledby": "entries-title" }, el("h2", { id: "entries-title" }, "In the codebook"), el("p", { class: "hint" }, "Looking…"));
  put(root,
    el("p", { class: "crumbs" }, el("a", { href: "#/edits" }, "Edits"), " / ", el("code", {}, edit.id)),
    heading(edit.question, el("div", { class: "row" }, button("Ask this again", () => askAgain(edit), { class: "quiet" }), revert)),
    problem,
    el("div", { class: "columns" },
      el("div", { class: "left" }, el("section", { class: "card pane", "aria-label": "Picture" }, el("div", { class: "frame" }, picture.root))),
      el("div", { class: "right" }, corrected(edit), reasons(edit, picture), about(edit), keys)));
  await entries(keys, edit, signal);
}

function boxesOf(edit, only) {
  return edit.reasoning.flatMap((one, at) => (only === null || only === at ? one.evidence.map((area) => ({
    area, label: String(at + 1), tone: at, current: only === at,
    name: `Evidence of statement ${at + 1}, ${area.source === "user" ? "drawn by a person" : "found by the model"}`,
  })) : []));
}

function corrected(edit) {
  return el("section", { class: "card", "aria-labelledby": "answer-title" },
    el("h2", { id: "answer-title" }, "Correction"),
    el("p", { class: "spoken" }, edit.answer), el("p", {}, took(edit)),
    warned(edit.warnings),
    edit.choices.length > 0 ? el("p", { class: "hint" }, "Asked with the choices ", edit.choices.map((one) => [chip(one), " "]).flat()) : null,
    el("div", { class: "two versus" }, opinion("Before", edit.before, "", edit.before_absent), opinion("Right after", edit.after, edit.after?.answer === edit.answer ? "took" : "", edit.after_absent)),
    rivals(edit));
}

function reasons(edit, picture) {
  const list = edit.reasoning.map((one, at) => {
    const show = one.evidence.length > 0 ? button("Show", () => {
      const on = show.getAttribute("aria-pressed") === "true";
      for (const other of root.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", "false");
      show.setAttribute("aria-pressed", String(!on));
      picture.boxes(boxesOf(edit, on ? null : at));
      announce(on ? "All evidence is shown." : `Only the evidence of statement ${at + 1} is shown.`);
    }, { class: "quiet small", "aria-pressed": "false", "aria-label": `Show the evidence of statement ${at + 1} alone` }) : null;
    return el("li", {}, el("span", { class: `number tone-${at % 6}` }, String(at + 1)),
      el("div", {}, el("p", { class: "statement" }, one.statement),
        el("p", { class: "hint" }, evidenceText(one.evidence)),
        one.p_yes === undefined ? null : meter(one.p_yes, "Seen in the whole picture, by the model")), show);
  });
  const root = el("section", { class: "card", "aria-labelledby": "why-title" }, el("h2", { id: "why-title" }, "Why"),
    list.length > 0 ? el("ol", { class: "reasons" }, list) : el("p", { class: "hint" }, "No reasoning was given."));
  return root;
}

function evidenceText(evidence) {
  if (evidence.length === 0) return "Seen in no part of the picture: it stands for the whole.";
  const by = evidence[0].source === "user" ? "drawn by a person" : "found by the model";
  const sure = evidence.filter((one) => one.p_yes !== undefined).map((one) => percent(one.p_yes));
  return `${several(evidence.length, "part")} ${by}${sure.length > 0 ? `: ${sure.join(", ")} yes` : ""}.`;
}

function about(edit) {
  const metadata = Object.keys(edit.metadata).length > 0;
  return el("section", { class: "card", "aria-labelledby": "about-title" }, el("h2", { id: "about-title" }, "About it"),
    el("dl", { class: "facts-list" },
      pair("Author", edit.author ? el("a", { href: `#/edits?${new URLSearchParams({ author: edit.author })}` }, edit.author) : "not given"),
      pair("Made", when(edit.created_at), edit.timings_ms.total ? ` in ${duration(edit.timings_ms.total)}` : ""),
      pair("Used", edit.fired.queries > 0 ? [`in ${several(edit.fired.queries, "answer")}, last `, when(edit.fired.last_at)] : "in no answer yet"),
      edit.tags.length > 0 ? pair("Tags", edit.tags.map((tag) => [el("a", { class: "chip", href: `#/edits?${new URLSearchParams({ tag })}` }, tag), " "]).flat()) : null,
      pair("Picture", `${edit.image.width} × ${edit.image.height}, `, el("code", { class: "id" }, edit.image.id.slice(0, 16)), "…"),
      metadata ? pair("Metadata", el("pre", {}, JSON.stringify(edit.metadata, null, 2))) : null));
}

/** Entries with the keys they belong to: what merged with what is told by the key. */
async function entries(root, edit, signal) {
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
  const rows = edit.entries.map((entry) => {
    const key = keys.get(entry.merged_into || entry.id);
    return el("tr", {}, el("td", {}, chip(KINDS[entry.kind] || entry.kind)), el("td", {}, entry.value), el("td", {}, place(key)), el("td", {}, number(entry.radius)), el("td", {}, merges(edit, entry, key)));
  });
  const own = edit.entries.filter((entry) => entry.merged_into === null).length;
  put(root, root.firstChild,
    el("p", {}, `${several(edit.entries.length, "entry", "entries")}; ${own === edit.entries.length ? "each is a key of its own" : `${count(own)} ${own === 1 ? "is a key of its own" : "are keys of their own"}, the others merged into one that was there`}.`),
    table("Entries of this edit", ["Kind", "Sentence", "Said of", "Radius", "Merges"], rows));
}

/** What an entry that is alone in its key was said of; merged ones are told by what they merged with. */
function place(key) {
  if (!key || key.members.length > 1) return "–";
  const { evidence } = key.values[0];
  return evidence === null ? "whole picture" : `${evidence.width} × ${evidence.height} at ${evidence.x}, ${evidence.y}`;
}

function merges(edit, entry, key) {
  if (!key) return "its key is gone";
  const others = [...new Set(key.values.flatMap((value) => value.edit_ids))].filter((id) => id !== edit.id);
  const links = others.slice(0, 3).map((id, at) => [at > 0 ? ", " : "", el("a", { href: `#/edits/${id}` }, `…${id.slice(-6)}`)]).flat();
  const more = others.length > 3 ? ` and ${others.length - 3} more` : "";
  if (entry.merged_into) return el("span", {}, `into a key of ${several(key.members.length, "entry", "entries")}`, links.length > 0 ? [", with the edit ", links, more].flat() : ", of this edit too");
  if (key.members.length === 1) return "–";
  return el("span", {}, `${several(key.members.length - 1, "entry", "entries")} merged into it`, links.length > 0 ? [", of ", links, more].flat() : ", of this edit too");
}

async function takeBack(edit, problem) {
  const used = edit.fired.queries > 0 ? ` It was used in ${several(edit.fired.queries, "answer")}.` : "";
  if (!await confirm("Revert this edit?", `The codebook becomes what it would be had “${edit.question}” never been corrected to “${edit.answer}”.${used} This can't be taken back; the edit would have to be made again.`, "Revert")) return;
  try {
    await remove(`/edits/${edit.id}`);
    location.hash = "#/edits";
    announce("The edit is reverted.", true);
  } catch (error) {
    put(problem, trouble(error));
  }
}
