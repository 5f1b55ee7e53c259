// What became of a correction: whether it stands, what is in its place, how often it helped; and whose it is.

import { el, when } from "./dom.js";
import { hasToken, whoami } from "./api.js";
import { contradicts, lost, older } from "./odds.js";
import { chip } from "./parts.js";
import { listed, percent, rich, t } from "./words.js";

const AUTHOR = "reasonedit.author";

/** The name that the person last gave on this page; `""` if none. */
export function ownName() {
  return localStorage.getItem(AUTHOR) || "";
}

/** Keeps it for the next correction. */
export function keepOwnName(name) {
  localStorage.setItem(AUTHOR, name);
}

/** Whose corrections are "mine": the name that a token was given to, else the one that was last given here. */
export async function me() {
  if (!hasToken()) return ownName();
  const { name, role } = await whoami();
  return name === null || role === "admin" ? ownName() : name;
}

/** Another correction of the same question about the same picture: its answer, by whom, when. */
function other({ edit_id, answer, author, created_at }) {
  return rich("standing.other", {
    answer: el("a", { href: `#/edits/${edit_id}` }, t("frame.quoted", { text: answer })),
    author: author || t("edit.no-author"), time: when(created_at),
  });
}

function others(list) {
  return el("ul", { class: "plain" }, list.map((one) => el("li", {}, other(one))));
}

/** Whether it stands, as small labels for a list. */
export function state(edit) {
  if (edit.superseded_by) return chip(t("standing.replaced"), "warn");
  return [chip(t("standing.stands"), "good"), " ", took(edit)];
}

/** Whether the model gave the right answer right after the correction. */
export function took(edit) {
  if (!edit.after) return null;
  return edit.after.answer === edit.answer ? chip(t("standing.took", { share: percent(edit.after.probability) }), "good")
    : chip(t("standing.took-not", { answer: edit.after.answer }), "warn");
}

/** How often it was used, for a line of text. */
export function used(edit) {
  return edit.fired.queries > 0 ? t("standing.used", { n: edit.fired.queries }) : t("standing.unused");
}

/** What stands, and why. */
export function standing(edit) {
  const newer = edit.superseded_by;
  const behind = older(edit);
  if (newer) {
    // What was decided to keep may be about another question and picture.
    const why = lost(edit) ? "standing.replaced.decided" : "standing.replaced.why";
    return el("div", { class: "standing replaced" }, el("p", {}, el("strong", {}, t("standing.replaced.long")), " ", t(why)), others([newer]),
      el("p", { class: "hint" }, t(lost(edit) ? "standing.replaced.decided.back" : "standing.replaced.back")));
  }
  // What contradicts it may answer the same question about the same picture and stand beside it.
  const so = behind.length > 0 ? "standing.stands.over" : edit.conflicts.length > 0 ? "standing.stands.odds" : "standing.stands.alone";
  return el("div", { class: "standing" }, el("p", {}, el("strong", {}, t("standing.stands.long")), " ", t(so)),
    behind.length > 0 ? [others(behind), el("p", { class: "hint" }, t("standing.stands.back"))] : null);
}

/** What contradicts it, on a card of its own. */
export function atOdds(edit) {
  return contradicts(edit, { named: other, tag: "h2", kind: "card" });
}

/** What is told of others where a correction was just saved. */
export function besideOthers(edit) {
  return [older(edit).length > 0 || edit.superseded_by ? standing(edit) : null, contradicts(edit, { named: other, tag: "h3", kind: "standing replaced" })];
}

/** What of others is in the way of a correction: corrections that speak for another answer. */
export function inTheWay(edits) {
  return el("div", { class: "note" }, el("p", {}, t("outcome.in-the-way", { answers: listed([...new Set(edits.map((one) => one.answer))].map((text) => t("frame.quoted", { text }))) })),
    others(edits.map(({ id, answer, author, created_at }) => ({ edit_id: id, answer, author, created_at }))));
}
