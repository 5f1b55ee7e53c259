// An answer as it comes, and why it is what it is.

import { announce, button, el, put, when } from "./dom.js";
import { editOf } from "./api.js";
import { crop, ruler, stored } from "./picture.js";
import { answerText, chip, expert, meter, warned } from "./parts.js";
import { ThinkingView, formNotes } from "./thinking.js";
import { verdict } from "./verdict.js";
import { duration, knows, number, percent, t } from "./words.js";

/** The answer to one question: fed with the events of a query. */
export class AnswerView {
  constructor() {
    this.heading = el("h2", { tabindex: "-1" }, t("answer.title"));
    this.spoken = el("p", { class: "spoken" });
    this.figures = el("div", { class: "figures" });
    this.tokens = [];
    this.thinking = new ThinkingView();
    this.why = el("section", { class: "why", "aria-labelledby": "why-title" });
    this.actions = el("div", { class: "row" });
    this.root = el("section", { class: "answer card", "aria-labelledby": "answer-title", "aria-busy": "true" },
      this.heading, this.thinking.root, this.spoken, this.figures, this.actions);
    this.heading.id = "answer-title";
    this.spoken.append(el("span", { class: "waiting" }, t("answer.looking-up")));
  }

  retrieval(found) {
    put(this.why, whyOf(found));
    put(this.spoken, el("span", { class: "caret" }));
  }

  thought({ text }) {
    this.thinking.add(text);
  }

  token({ text, probability }) {
    this.tokens.push({ text, probability });
    const piece = el("span", { class: "token", title: t("answer.token", { share: percent(probability), text: text.trim() || "␣" }) }, text,
      el("span", { class: "under", "aria-hidden": "true" }));
    piece.lastChild.style.width = `${Math.max(0, Math.min(1, probability)) * 100}%`;
    this.spoken.querySelector(".caret")?.before(piece);
  }

  done(answer) {
    this.spoken.querySelector(".caret")?.remove();
    if (!answer.answer && answer.format !== "broken") this.spoken.append(el("span", { class: "waiting" }, t("answer.nothing")));
    this.root.setAttribute("aria-busy", "false");
    this.thinking.done(answer);
    // Its pieces came before the whole was known to have no form.
    if (answer.format === "broken" && !answer.choices) put(this.spoken, el("span", { class: "waiting" }, t("answer.none")));
    const rows = formNotes(answer);
    if (answer.choices) {
      const best = answer.answer;
      rows.push(el("ul", { class: "choices", "aria-label": t("answer.choices") }, answer.choices.map((one) =>
        el("li", { class: one.text === best ? "best" : "" }, meter(one.probability, one.text)))));
    } else {
      rows.push(el("div", { class: "whole" }, meter(answer.probability, t("answer.whole"))));
      if (this.tokens.length > 1) rows.push(tokenTable(this.tokens));
      if (answer.finish_reason === "length") rows.push(el("p", { class: "note" }, t("answer.cut")));
    }
    if (answer.unedited) rows.push(unedited(answer));
    rows.push(warned(answer.warnings));
    const { total, queue } = answer.timings_ms;
    rows.push(el("p", { class: "hint" }, queue > 20 ? t("answer.time.waited", { time: duration(total), waited: duration(queue) }) : t("answer.time", { time: duration(total) })));
    rows.push(verdict(answer));
    put(this.figures, rows);
    put(this.why, whyOf(answer.retrieval));
    announce(spokenSummary(answer));
  }

  fail(node) {
    this.root.setAttribute("aria-busy", "false");
    if (this.tokens.length === 0) this.root.replaceChildren(this.heading, node);
    else put(this.figures, node);
  }

  stopped() {
    this.root.setAttribute("aria-busy", "false");
    this.spoken.querySelector(".caret")?.remove();
    put(this.figures, el("p", { class: "note" }, t("answer.stopped")));
  }
}

/** How many corrections some statements are of. */
function from(facts) {
  return t("n.corrections", { n: new Set(facts.flatMap((fact) => fact.edit_ids)).size });
}

function spokenSummary(answer) {
  const p = answer.choices ? answer.choices.find((one) => one.text === answer.answer)?.probability : answer.probability;
  const { facts } = answer.retrieval;
  const why = facts.length > 0 ? t("why.lead", { n: facts.length, corrections: from(facts) }) : t("why.none");
  return t("answer.summary", { answer: answer.answer, share: percent(p), why });
}

function tokenTable(tokens) {
  return expert("details", { class: "tokens" }, el("summary", {}, t("answer.tokens")),
    el("ol", {}, tokens.map(({ text, probability }) => el("li", {}, meter(probability, text.trim() || "␣")))));
}

function unedited(answer) {
  const same = answer.unedited.answer === answer.answer;
  return el("p", { class: `unedited ${same ? "" : "changed"}` },
    el("span", {}, t("answer.unedited")), " ", el("strong", {}, answerText(answer.unedited.answer)), ", ", percent(answer.unedited.probability), " ",
    same ? chip(t("answer.same")) : chip(t("answer.changed"), "accent"));
}

/** Why: what the model was told, what was held back, or that nothing applied and by how much. */
export function whyOf(found) {
  const title = el("h2", { id: "why-title" }, t("why.title"));
  const withheld = found.withheld || [];
  const omitted = found.omitted || [];
  if (omitted.length > 0 && found.facts.length === 0) {
    return [title, none(t("why.too-long", { n: omitted.length })), leftOut(omitted, found, true), held(withheld, found)];
  }
  if (found.facts.length > 0) {
    return [title,
      el("p", { class: "lead" }, t("why.lead", { n: found.facts.length, corrections: from(found.facts) })),
      el("ol", { class: "facts" }, found.facts.map((fact) => factView(fact, found))),
      leftOut(omitted, found), held(withheld, found)];
  }
  if (withheld.length > 0) {
    const superseded = withheld.every((one) => one.reason === "superseded");
    return [title, none(t(superseded ? "why.all-superseded" : "why.all-withheld", { n: withheld.length })), held(withheld, found, true)];
  }
  if (found.familiarity?.familiar === false) {
    const { distance, threshold } = found.familiarity;
    return [title, none(t("why.unfamiliar")),
      expert("p", { class: "distance" }, ruler(distance, threshold), " ", t("why.ruler", { distance: number(distance), limit: number(threshold) }))];
  }
  if (found.nearest_distance === null) return [title, none(t("why.empty"))];
  if (found.relevance) {
    const { question, question_threshold: least } = found.relevance;
    return [title, none(t("why.nothing-bears")),
      question === null ? null : expert("p", { class: "distance" }, t("why.likest", { value: number(question), least: number(least) })),
      found.nearest ? [el("h3", {}, t("why.nearest")), el("ol", { class: "facts" }, factView(found.nearest, found))] : null];
  }
  return [title, none(t("why.too-far")),
    found.nearest ? [el("h3", {}, t("why.nearest")), el("ol", { class: "facts" }, factView(found.nearest, found))]
      : expert("p", { class: "distance" }, ruler(found.nearest_distance, found.threshold), " ", t("why.ruler", { distance: number(found.nearest_distance), limit: number(found.threshold) }))];
}

function none(text) {
  return el("div", { class: "none" }, el("strong", {}, t("why.none")), " ", text);
}

function held(withheld, found, opened = false) {
  if (withheld.length === 0) return null;
  return el("details", { class: "held", open: opened }, el("summary", {}, t("why.held", { n: withheld.length })),
    el("ol", { class: "facts" }, withheld.map((fact) => factView(fact, found))));
}

function leftOut(omitted, found, opened = false) {
  if (omitted.length === 0) return null;
  return el("details", { class: "held", open: opened }, el("summary", {}, t("why.omitted", { n: omitted.length })),
    el("ol", { class: "facts" }, omitted.map((fact) => factView(fact, found))));
}

/** Why a statement was held back; only what was judged is said to have been. */
function withheldBecause(fact) {
  if (fact.reason === "superseded" || fact.reason === "context_full") return t(`withheld.${fact.reason}`);
  if (fact.reason === "out_of_reach") {
    return [t("withheld.out_of_reach"), expert("span", {}, " ", t("why.distance", { distance: number(fact.distance) }))];
  }
  if (!knows(`withheld.${fact.reason}`)) return fact.reason;
  return fact.support === undefined ? t(`withheld.${fact.reason}.unjudged`) : t(`withheld.${fact.reason}`, { share: percent(fact.support) });
}

function factView(fact, found) {
  const source = el("p", { class: "source" }, "…");
  const shown = el("div", { class: "shown" });
  const value = el("span", {}, fact.value);
  sourceOf(fact, source, shown, value);
  const far = found.threshold !== null && fact.distance > found.threshold ? "why.limit.beyond" : "why.limit";
  return el("li", { class: fact.reason ? "fact withheld" : "fact" },
    shown,
    el("div", { class: "told" },
      el("p", { class: "statement" }, value, " ", fact.kind === "answer" ? chip(t("kind.answer")) : null),
      fact.reason ? el("p", { class: "reason" }, withheldBecause(fact)) : null,
      expert("p", { class: "distance" }, found.threshold === null ? null : [ruler(fact.distance, found.threshold), " "],
        fact.relevance === undefined ? null : el("span", {}, t("why.bears", { value: number(fact.relevance) })), " ",
        el("span", {}, t("why.distance", { distance: number(fact.distance) })), " ",
        found.threshold === null ? null : el("span", { class: "hint" }, t(far, { limit: number(found.threshold) }))),
      fact.support !== undefined && !fact.reason ? el("p", { class: "support" }, meter(fact.support, t("why.support"))) : null,
      source));
}

/** The source picture with the parts that show the statement, the first of them cut out beside it. */
function showSource(node, fact, areas, known) {
  const boxes = areas.map((area, at) => ({ area, label: "", tone: 0, name: t("box.evidence", { number: at + 1 }) }));
  const picture = stored(fact.image_id, boxes, t(areas.length > 0 ? "picture.source-part" : "picture.source"), known);
  picture.root.classList.add("thumb");
  put(node, picture.root, areas.length > 0 ? crop(fact.image_id, areas[0], t("picture.part")) : null);
}

async function sourceOf(fact, node, shown, value) {
  const ids = fact.edit_ids;
  const first = await editOf(ids[0]).catch(() => null);
  // A statement is stored with the whole picture and with its parts. Found by the whole, it is still seen in the parts.
  const own = first?.image.id === fact.image_id ? first : null;
  const seen = own?.reasoning.find((one) => one.statement === fact.value)?.evidence ?? [];
  const byWhole = fact.evidence === null && fact.kind === "statement";
  showSource(shown, fact, fact.evidence ? [fact.evidence] : seen, own?.image);
  if (first === null) {
    put(node, t("why.source-gone"));
    return;
  }
  // What the model is told of an answer is a sentence of the service's own making.
  if (fact.kind === "answer") put(value, t("why.answer", { question: first.question, answer: first.answer }));
  const others = ids.slice(1, 4).map((id, at) => [" ", el("a", { href: `#/edits/${id}`, "aria-label": t("why.source-other", { number: at + 2 }) }, String(at + 2))]);
  put(node, first.author ? el("span", { class: "author" }, first.author) : el("span", { class: "author unnamed" }, t("edit.no-author")), " · ", when(first.created_at), " · ",
    el("a", { href: `#/edits/${ids[0]}` }, t("why.source-open")),
    byWhole && seen.length > 0 ? [" · ", t("why.by-whole")] : fact.evidence ? [" · ", t("why.by-part")] : null,
    others.length > 0 ? [" · ", t("why.source-also", { n: ids.length - 1 }), others] : null);
}

/** The buttons below an answer. */
export function answerActions(view, correct) {
  put(view.actions, button(t("correct.open"), correct, { class: "primary" }));
}
