// What came of a correction that was just saved: the model before and after, what stands, and taking it back at once.

import { announce, button, el, put, trouble, when } from "./dom.js";
import { codebookName, editOf, query, remove } from "./api.js";
import { chip, expert, opinion, warned } from "./parts.js";
import { besideOthers, inTheWay } from "./standing.js";
import { remember } from "./taken-back.js";
import { duration, t } from "./words.js";

/** The outcome; `seen` is the answer that the person corrected, `again` asks once more, `anew` opens the form again. */
export class Outcome {
  constructor(edit, { asked, seen, again, anew }) {
    Object.assign(this, { edit, asked, again, anew });
    const took = edit.after !== null && edit.after.answer === edit.answer;
    this.title = el("h2", { tabindex: "-1" }, t("outcome.saved"));
    this.said = t(saidOf(edit, took, seen));
    this.state = el("p", { class: took ? "good" : "note" }, this.said);
    this.way = el("div", { role: "status" });
    this.stands = el("div", {}, besideOthers(edit));
    this.undo = button(t("outcome.undo"), () => this.#takeBack(), { class: "quiet" });
    this.actions = el("div", { class: "row end" }, this.undo, el("a", { class: "button quiet", href: `#/edits/${edit.id}` }, t("outcome.open")),
      button(t("ask.again"), again, { class: "primary" }));
    this.root = el("section", { class: "card made" }, this.title, this.state, this.way,
      el("div", { class: "two versus" }, opinion(t("outcome.before"), seen), opinion(t("outcome.after"), edit.after, took ? "took" : "", edit.after_absent)),
      this.stands,
      reasonsOf(edit), warned(edit.warnings),
      el("p", { class: "hint" }, t("outcome.time", { time: duration(edit.timings_ms.total) }), " ", when(edit.created_at), " ",
        expert("span", {}, t("outcome.entries", { n: edit.entries.length, name: codebookName() || "default" }))),
      this.actions);
    if (edit.after !== null && !took && !edit.superseded_by) this.#whyNot();
  }

  announce() {
    announce(`${t("outcome.saved")} ${this.said}`);
    this.title.focus();
  }

  /** Whether others are in the way, before more statements are advised: the question is asked again, and what the model was told is looked at. */
  async #whyNot() {
    put(this.way, el("p", { class: "hint" }, t("outcome.looking")));
    try {
      const others = await this.#against();
      put(this.way, others.length > 0 ? inTheWay(others) : el("p", { class: "note" }, t("outcome.advice")));
    } catch {
      // Whether anything is in the way is not known, so that nothing is advised.
      put(this.way);
    }
  }

  /** Corrections that the model was told of at this question and that give another answer. */
  async #against() {
    const { edit, asked } = this;
    const body = { image: { id: edit.image.id }, question: asked.question, compare: false, explain: false };
    if (edit.choices.length > 0) body.choices = edit.choices;
    let found = null;
    for await (const [name, data] of query(body)) if (name === "done") found = data.retrieval;
    const ids = new Set(found.facts.flatMap((fact) => fact.edit_ids).filter((id) => id !== edit.id));
    const told = await Promise.all([...ids].slice(0, 20).map((id) => editOf(id)));
    return told.filter((other) => other !== null && other.answer !== edit.answer);
  }

  async #takeBack() {
    this.undo.disabled = true;
    try {
      await remove(`/edits/${this.edit.id}`);
      remember(this.edit, codebookName());
      put(this.state, t("outcome.undone.text"));
      this.state.className = "note";
      put(this.way);
      put(this.stands);
      put(this.title, t("outcome.undone"));
      announce(t("outcome.undone"));
      put(this.actions, button(t("ask.again"), this.again, { class: "quiet" }), button(t("outcome.anew"), this.anew, { class: "quiet" }));
      this.title.focus();
    } catch (error) {
      this.undo.disabled = false;
      this.state.after(trouble(error));
    }
  }
}

/** What came of it, in a sentence. */
function saidOf(edit, took, seen) {
  if (edit.after === null) return `outcome.unasked.${edit.after_absent?.reason ?? "not_asked"}`;
  if (took) return seen.answer === edit.answer ? "outcome.kept" : "outcome.took";
  return edit.superseded_by ? "outcome.superseded" : "outcome.took-not";
}

function reasonsOf(edit) {
  if (edit.reasoning.length === 0) return null;
  const seen = ({ evidence }) => (evidence.length === 0 ? chip(t("outcome.nowhere"), "soft")
    : chip(t(evidence[0].source === "user" ? "outcome.own-boxes" : "outcome.found", { n: evidence.length })));
  return el("ol", { class: "reasons" }, edit.reasoning.map((one, at) => el("li", {},
    el("span", { class: `number tone-${at % 6}` }, String(at + 1)), el("span", {}, one.statement, " ", seen(one)))));
}
