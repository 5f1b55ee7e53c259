// One correction: what was said, where it is seen, what stands, how often it was used; and taking it back.

import { announce, button, el, pair, put, trouble, when } from "./dom.js";
import { codebookName, get, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { Enlarged } from "./enlarge.js";
import { showEntries } from "./entries.js";
import { isExpert } from "./frame.js";
import { stored } from "./picture.js";
import { chip, expert, heading, meter, opinion, warned } from "./parts.js";
import { atOdds, standing, took } from "./standing.js";
import { remember } from "./taken-back.js";
import { duration, entitle, listed, percent, rich, t } from "./words.js";

/** The page of a correction. `askAgain` takes it to the first page. */
export async function showEdit(root, id, signal, askAgain) {
  entitle(t("edit.title"));
  put(root, el("p", { class: "hint" }, t("frame.wait")));
  let edit;
  try {
    edit = await get(`/edits/${encodeURIComponent(id)}`, {}, { signal });
  } catch (error) {
    if (error.name === "AbortError") return;
    put(root, heading(t("edit.title")), error.status === 404 || error.status === 410
      ? el("p", { class: "none" }, rich("edit.gone", { link: el("a", { href: "#/edits" }, t("edits.all")) }))
      : trouble(error));
    return;
  }
  entitle(edit.question);
  const revert = button(t("edit.take-back"), () => takeBack(edit, problem), { class: "quiet danger" });
  const problem = el("div");
  const picture = stored(edit.image.id, boxesOf(edit, null), t("picture.of-edit.seen", { n: edit.reasoning.length }), edit.image);
  const entries = isExpert() ? el("section", { class: "card", "aria-labelledby": "entries-title" }, el("h2", { id: "entries-title" }, t("entries.title")), el("p", { class: "hint" }, t("frame.wait"))) : null;
  put(root,
    el("p", { class: "crumbs" }, el("a", { href: "#/edits" }, t("nav.edits")), expert("span", {}, " / ", el("code", {}, edit.id))),
    heading(edit.question, el("div", { class: "row" }, button(t("edit.ask-again"), () => askAgain(edit), { class: "quiet" }), revert)),
    problem,
    el("div", { class: "columns" },
      el("div", { class: "left" }, el("section", { class: "card pane", "aria-label": t("picture.title") }, el("div", { class: "frame" }, picture.root),
        el("p", { class: "caption" }, button(t("enlarge.open"), () => new Enlarged(picture, { title: t("picture.title") }), { class: "quiet small" })))),
      el("div", { class: "right" }, corrected(edit), atOdds(edit), reasons(edit, picture), about(edit), entries)));
  if (entries) await showEntries(entries, edit, signal);
}

function boxesOf(edit, only) {
  return edit.reasoning.flatMap((one, at) => (only === null || only === at ? one.evidence.map((area) => ({
    area, label: String(at + 1), tone: at, current: only === at,
    name: t(area.source === "user" ? "box.by-person" : "box.by-model", { number: at + 1 }),
  })) : []));
}

function corrected(edit) {
  return el("section", { class: "card", "aria-labelledby": "answer-title" },
    el("h2", { id: "answer-title" }, t("edit.correction")),
    el("p", { class: "spoken" }, edit.answer), el("p", {}, took(edit)),
    standing(edit),
    warned(edit.warnings),
    edit.choices.length > 0 ? el("p", { class: "hint" }, t("edit.choices"), " ", edit.choices.map((one) => [chip(one), " "]).flat()) : null,
    el("div", { class: "two versus" }, opinion(t("edit.before"), edit.before, "", edit.before_absent),
      opinion(t("edit.after"), edit.after, edit.after?.answer === edit.answer ? "took" : "", edit.after_absent)));
}

function reasons(edit, picture) {
  const list = edit.reasoning.map((one, at) => {
    const show = one.evidence.length > 0 ? button(t("edit.show"), () => {
      const on = show.getAttribute("aria-pressed") === "true";
      for (const other of root.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", "false");
      show.setAttribute("aria-pressed", String(!on));
      picture.boxes(boxesOf(edit, on ? null : at));
      announce(on ? t("edit.shown.all") : t("edit.shown.one", { number: at + 1 }));
    }, { class: "quiet small", "aria-pressed": "false", "aria-label": t("edit.show.one", { number: at + 1 }) }) : null;
    return el("li", {}, el("span", { class: `number tone-${at % 6}` }, String(at + 1)),
      el("div", {}, el("p", { class: "statement" }, one.statement),
        el("p", { class: "hint" }, evidenceText(one.evidence)),
        one.p_yes === undefined ? null : meter(one.p_yes, t("edit.seen"))), show);
  });
  const root = el("section", { class: "card", "aria-labelledby": "why-title" }, el("h2", { id: "why-title" }, t("why.title")),
    list.length > 0 ? el("ol", { class: "reasons" }, list) : el("p", { class: "hint" }, t("edit.no-reasons")));
  return root;
}

function evidenceText(evidence) {
  if (evidence.length === 0) return t("edit.evidence.none");
  if (evidence[0].source === "user") return t("edit.evidence.drawn", { n: evidence.length });
  const shares = listed(evidence.filter((one) => one.p_yes !== undefined).map((one) => percent(one.p_yes)));
  return t("edit.evidence.found", { n: evidence.length, shares });
}

function about(edit) {
  const filter = (name, value) => `#/edits?${new URLSearchParams({ [name]: value })}`;
  const metadata = Object.keys(edit.metadata).length > 0;
  const { total } = edit.timings_ms;
  return el("section", { class: "card", "aria-labelledby": "about-title" }, el("h2", { id: "about-title" }, t("edit.about")),
    el("dl", { class: "facts-list" },
      pair(t("edit.author"), edit.author ? el("a", { href: filter("author", edit.author) }, edit.author) : t("edit.no-author")),
      pair(t("edit.made"), when(edit.created_at), total ? expert("span", {}, " ", t("edit.made.in", { time: duration(total) })) : ""),
      pair(t("edit.used"), edit.fired.queries > 0 ? rich("edit.used.in", { n: edit.fired.queries, time: when(edit.fired.last_at) }) : t("standing.unused")),
      said(edit),
      edit.tags.length > 0 ? pair(t("edit.tags"), edit.tags.map((tag) => [el("a", { class: "chip", href: filter("tag", tag) }, tag), " "]).flat()) : null,
      isExpert() ? pair(t("picture.title"), `${edit.image.width} × ${edit.image.height}, `, el("code", { class: "id" }, edit.image.id.slice(0, 16)), "…") : null,
      metadata && isExpert() ? pair(t("edit.metadata"), el("pre", {}, JSON.stringify(edit.metadata, null, 2))) : null));
}

/** What people said of the answers that it stood in front of; nothing as long as nobody has. */
function said(edit) {
  const line = pair(t("edit.said"), "…");
  line.hidden = true;
  get("/feedback/edits").then(({ edits }) => {
    const own = edits.find((one) => one.edit === edit.id);
    if (!own) return;
    put(line.lastChild, t("edit.said.counts", { right: own.agree, wrong: own.disagree }));
    line.hidden = false;
  }).catch(() => {});
  return line;
}

async function takeBack(edit, problem) {
  const used = edit.fired.queries > 0 ? t("standing.used.sentence", { n: edit.fired.queries }) : "";
  if (!await confirm(t("take-back.title"), [t("take-back.text", { question: edit.question, answer: edit.answer }), " ", used, " ", t("take-back.again")], t("take-back.go"))) return;
  try {
    await remove(`/edits/${edit.id}`);
    remember(edit, codebookName());
    location.hash = "#/edits";
    announce(t("take-back.done"), true);
  } catch (error) {
    put(problem, trouble(error));
  }
}
