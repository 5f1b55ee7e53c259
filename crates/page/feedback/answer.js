// An answer as it comes, and why it is what it is.

import { announce, button, count, el, number, percent, put, several, when } from "./dom.js";
import { editOf } from "./api.js";
import { crop, ruler, stored } from "./picture.js";
import { chip, meter, warned, withheldBecause } from "./parts.js";
import { ThinkingView, formNotes } from "./thinking.js";

/** The answer to one question: fed with the events of a query. */
export class AnswerView {
  constructor() {
    this.heading = el("h2", { tabindex: "-1" }, "Answer");
    this.spoken = el("p", { class: "spoken" });
    this.figures = el("div", { class: "figures" });
    this.tokens = [];
    this.thinking = new ThinkingView();
    this.why = el("section", { class: "why", "aria-labelledby": "why-title" });
    this.actions = el("div", { class: "row" });
    this.root = el("section", { class: "answer card", "aria-labelledby": "answer-title", "aria-busy": "true" },
      this.heading, this.thinking.root, this.spoken, this.figures, this.actions);
    this.heading.id = "answer-title";
    this.spoken.append(el("span", { class: "waiting" }, "Looking up what people have said about pictures and questions like this…"));
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
    const piece = el("span", { class: "token", title: `${percent(probability)} for “${text.trim() || "space"}”` }, text,
      el("span", { class: "under", "aria-hidden": "true" }));
    piece.lastChild.style.width = `${Math.max(0, Math.min(1, probability)) * 100}%`;
    this.spoken.querySelector(".caret")?.before(piece);
  }

  done(answer, asked) {
    this.spoken.querySelector(".caret")?.remove();
    if (!answer.answer && answer.format !== "broken") this.spoken.append(el("span", { class: "waiting" }, "(The model said nothing.)"));
    this.root.setAttribute("aria-busy", "false");
    this.thinking.done(answer);
    // Its pieces came before the whole was known to have no form.
    if (answer.format === "broken" && !answer.choices) put(this.spoken, el("span", { class: "waiting" }, "(No answer.)"));
    const rows = formNotes(answer);
    if (answer.choices) {
      const best = answer.answer;
      rows.push(el("ul", { class: "choices", "aria-label": "Probability of every choice" }, answer.choices.map((one) =>
        el("li", { class: one.text === best ? "best" : "" }, meter(one.probability, one.text)))));
    } else {
      rows.push(el("div", { class: "whole" }, meter(answer.probability, "Probability of the whole answer")));
      if (this.tokens.length > 1) rows.push(tokenTable(this.tokens));
      if (answer.finish_reason === "length") rows.push(el("p", { class: "note" }, "The answer was cut off at its greatest length."));
    }
    if (answer.unedited) rows.push(unedited(answer));
    rows.push(warned(answer.warnings));
    const { total, queue } = answer.timings_ms;
    rows.push(el("p", { class: "hint" }, `Answered in ${Math.round(total)} ms`, queue > 20 ? `, ${Math.round(queue)} ms of them waiting for others` : "", "."));
    put(this.figures, rows);
    put(this.why, whyOf(answer.retrieval));
    announce(spokenSummary(answer, asked));
  }

  fail(node) {
    this.root.setAttribute("aria-busy", "false");
    if (this.tokens.length === 0) this.root.replaceChildren(this.heading, node);
    else put(this.figures, node);
  }

  stopped() {
    this.root.setAttribute("aria-busy", "false");
    this.spoken.querySelector(".caret")?.remove();
    put(this.figures, el("p", { class: "note" }, "Stopped before the answer was complete."));
  }
}

function spokenSummary(answer) {
  const p = answer.choices ? answer.choices.find((one) => one.text === answer.answer)?.probability : answer.probability;
  const facts = answer.retrieval.facts;
  const edits = new Set(facts.flatMap((fact) => fact.edit_ids)).size;
  const why = facts.length > 0 ? `${several(facts.length, "statement")} of ${several(edits, "edit")} stood in front of the question.` : "No edit was applied.";
  return `Answer: ${answer.answer}, probability ${percent(p)}. ${why}`;
}

function tokenTable(tokens) {
  return el("details", { class: "tokens" }, el("summary", {}, "Token by token"),
    el("ol", {}, tokens.map(({ text, probability }) => el("li", {}, meter(probability, text.trim() || "␣")))));
}

function unedited(answer) {
  const same = answer.unedited.answer === answer.answer;
  return el("p", { class: `unedited ${same ? "" : "changed"}` },
    el("span", {}, "Without any edit: "), el("strong", {}, answer.unedited.answer || "(nothing)"), `, ${percent(answer.unedited.probability)} `,
    same ? chip("same answer") : chip("changed by the edits", "accent"));
}

/** Why: what stood in front of the question, what was held back, or that nothing applied and by how much. */
export function whyOf(found) {
  const title = el("h2", { id: "why-title" }, "Why");
  const withheld = found.withheld || [];
  const omitted = found.omitted || [];
  if (omitted.length > 0 && found.facts.length === 0) {
    return [title, none(`${several(omitted.length, "statement")} of edits ${omitted.length === 1 ? "is" : "are"} too long to stand in front of this question, so the model answered by itself.`),
      leftOut(omitted, found, true), held(withheld, found)];
  }
  if (found.facts.length > 0) {
    const edits = new Set(found.facts.flatMap((fact) => fact.edit_ids)).size;
    return [title,
      el("p", { class: "lead" }, `${several(found.facts.length, "statement")} from ${several(edits, "edit")} stood in front of the question.`),
      el("ol", { class: "facts" }, found.facts.map((fact) => factView(fact, found))),
      leftOut(omitted, found), held(withheld, found)];
  }
  if (withheld.length > 0) {
    return [title, none(`${several(withheld.length, "statement")} ${withheld.length === 1 ? "was" : "were"} near enough, but ${withheld.length === 1 ? "is" : "are"} ${withheld.every((one) => one.reason === "superseded") ? "superseded by newer edits" : "not borne out by this picture"}, so the model answered by itself.`),
      held(withheld, found, true)];
  }
  if (found.nearest_distance === null) {
    return [title, none("The codebook has no edits yet, or was not asked. The model answered by itself.")];
  }
  if (found.relevance) {
    return [title,
      none("Nothing that was said bears on this question. The model answered by itself."),
      found.relevance.question === null ? null
        : el("p", { class: "distance" }, `The likest question of an edit is so by ${number(found.relevance.question)}; more than ${number(found.relevance.question_threshold)} is asked for.`),
      found.nearest ? [el("h3", {}, "Nearest by distance"), el("ol", { class: "facts" }, factView(found.nearest, found))] : null];
  }
  return [title,
    none("The nearest edit is too far from this picture and question. The model answered by itself."),
    found.nearest ? [el("h3", {}, "Nearest miss"), el("ol", { class: "facts" }, factView(found.nearest, found))]
      : el("p", { class: "distance" }, ruler(found.nearest_distance, found.threshold), ` nearest at ${number(found.nearest_distance)}; the limit is ${number(found.threshold)}`)];
}

function none(text) {
  return el("div", { class: "none" }, el("strong", {}, "No edit applied."), " ", text);
}

function held(withheld, found, opened = false) {
  if (withheld.length === 0) return null;
  return el("details", { class: "held", open: opened }, el("summary", {}, `${several(withheld.length, "statement")} held back`),
    el("ol", { class: "facts" }, withheld.map((fact) => factView(fact, found))));
}

function leftOut(omitted, found, opened = false) {
  if (omitted.length === 0) return null;
  return el("details", { class: "held", open: opened }, el("summary", {}, `${several(omitted.length, "statement")} left out: the model's context has no room for more`),
    el("ol", { class: "facts" }, omitted.map((fact) => factView(fact, found))));
}

function factView(fact, found) {
  const source = el("p", { class: "source" }, "…");
  const shown = el("div", { class: "shown" });
  sourceOf(fact, source, shown);
  const beyond = found.threshold !== null && fact.distance > found.threshold;
  return el("li", { class: fact.reason ? "fact withheld" : "fact" },
    shown,
    el("div", { class: "told" },
      el("p", { class: "statement" }, fact.value, " ", fact.kind === "answer" ? chip("answer") : null),
      fact.reason ? el("p", { class: "reason" }, withheldBecause(fact)) : null,
      el("p", { class: "distance" }, found.threshold === null ? null : [ruler(fact.distance, found.threshold), " "],
        fact.relevance === undefined ? null : el("span", {}, `bears on the question by ${number(fact.relevance)}, `),
        el("span", {}, `distance ${number(fact.distance)}`), " ",
        found.threshold === null ? null
          : el("span", { class: "hint" }, beyond ? `limit ${number(found.threshold)}: too far` : `limit ${number(found.threshold)}`)),
      fact.support !== undefined && !fact.reason ? el("p", { class: "support" }, meter(fact.support, "Borne out by this picture")) : null,
      source));
}

/** The source picture with the parts that show the statement, the first of them cut out beside it. */
function showSource(node, fact, areas, known) {
  const boxes = areas.map((area, at) => ({ area, label: "", tone: 0, name: `Evidence ${at + 1}` }));
  const picture = stored(fact.image_id, boxes, areas.length > 0 ? "The picture it was said about, with the part that shows it" : "The picture it was said about", known);
  picture.root.classList.add("thumb");
  put(node, picture.root, areas.length > 0 ? crop(fact.image_id, areas[0], "The part that shows it") : null);
}

async function sourceOf(fact, node, shown) {
  const ids = fact.edit_ids;
  const first = await editOf(ids[0]).catch(() => null);
  // A statement is stored with the whole picture and with its parts. Found by the whole, it is still seen in the parts.
  const own = first?.image.id === fact.image_id ? first : null;
  const seen = own?.reasoning.find((one) => one.statement === fact.value)?.evidence ?? [];
  const byWhole = fact.evidence === null && fact.kind === "statement";
  showSource(shown, fact, fact.evidence ? [fact.evidence] : seen, own?.image);
  if (first === null) {
    put(node, "From an edit that has been reverted since.");
    return;
  }
  put(node, first.author ? el("span", { class: "author" }, first.author) : el("span", { class: "author unnamed" }, "no author given"), " · ", when(first.created_at), " · ",
    el("a", { href: `#/edits/${ids[0]}` }, "open the edit"),
    byWhole && seen.length > 0 ? " · found by the whole picture" : fact.evidence ? " · found by this part" : null,
    ids.length > 1 ? [" and ", ids.slice(1, 4).map((id, at) => [at > 0 ? ", " : "", el("a", { href: `#/edits/${id}`, "aria-label": `another edit, ${at + 2}` }, String(at + 2))]), ids.length > 4 ? ` of ${count(ids.length)}` : ""].flat(2) : null);
}

/** The buttons below an answer. */
export function answerActions(view, correct, right) {
  put(view.actions, button("Correct it", correct, { class: "primary" }), right ? button("Ask again", right, { class: "quiet" }) : null);
}
