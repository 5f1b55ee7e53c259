// Pieces that several pages are made of.

import { el, number, percent, uid, when } from "./dom.js";

/** What of the request was not taken as it came; nothing for most. */
export function warned(warnings = []) {
  return warnings.length > 0 ? el("ul", { class: "plain", "aria-label": "Not taken as it came" }, warnings.map((one) => el("li", { class: "note" }, one.detail))) : null;
}

/** What kinds of entries are called. */
export const KINDS = { answer: "answer", statement: "statement" };

/** A small label. */
export function chip(text, tone = "") {
  return el("span", { class: `chip ${tone}` }, text);
}

/** A probability as a bar with its figure. */
export function meter(p, label) {
  const bar = el("span", { class: "bar" }, el("span", { class: "fill" }));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, p)) * 100}%`;
  bar.setAttribute("aria-hidden", "true");
  return el("span", { class: "meter" }, label ? el("span", { class: "meter-label" }, label) : null, bar, el("span", { class: "figure" }, percent(p)));
}

/** An answer with its probability, under a heading; where there is none, why. */
export function opinion(title, opinion, tone = "", absent = null) {
  const none = absent === null || absent === undefined || absent.reason === "not_asked" ? "was not asked" : absent.detail;
  return el("div", { class: `opinion ${tone}` },
    el("h4", {}, title),
    opinion ? [el("p", { class: "said" }, opinion.answer || "(nothing)"), meter(opinion.probability)] : el("p", { class: "hint" }, none));
}

/** Edits about the same picture and question that answer otherwise: those that stand back for this one, and the one that it stands back for. */
export function rivals(edit) {
  const one = ({ edit_id, answer, author, created_at }) => [el("a", { href: `#/edits/${edit_id}` }, `“${answer}”`), ` by ${author || "an author not given"}, `, when(created_at)];
  return [
    edit.conflicts.length > 0 ? el("p", { class: "note" }, "It stands in the place of what was answered before to the same question about the same picture: ",
      edit.conflicts.map((other, at) => [at > 0 ? "; " : "", one(other)]), ". Undone, it gives way to the newest of these.") : null,
    edit.superseded_by ? el("p", { class: "note" }, "A newer edit answers the same question about the same picture otherwise, so this one is not used: ", one(edit.superseded_by), ".") : null,
  ];
}

/** Texts as chips, each with a button that takes it away; Enter or a comma adds what was typed. */
export class Chips {
  constructor(noun, placeholder) {
    this.noun = noun;
    this.values = [];
    this.onchange = () => {};
    this.input = el("input", { type: "text", placeholder, autocomplete: "off", id: uid("chips") });
    this.list = el("ul", { class: "chips", "aria-label": `${noun}s given` });
    this.root = el("div", { class: "chip-input" }, this.list, this.input);
    this.input.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === ",") && this.input.value.trim()) {
        event.preventDefault();
        this.take();
      } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
      } else if (event.key === "Backspace" && this.input.value === "" && this.values.length > 0) {
        this.set(this.values.slice(0, -1));
      }
    });
    this.input.addEventListener("paste", (event) => {
      const lines = event.clipboardData.getData("text").split(/[\n,;\t]/).map((one) => one.trim()).filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      this.set([...this.values, ...lines]);
    });
    this.input.addEventListener("blur", () => this.take());
    this.root.addEventListener("click", (event) => { if (event.target === this.root || event.target === this.list) this.input.focus(); });
  }

  /** Makes chips of what was typed. */
  take() {
    const typed = this.input.value.split(",").map((one) => one.trim()).filter(Boolean);
    this.input.value = "";
    if (typed.length > 0) this.set([...this.values, ...typed]);
  }

  set(values) {
    this.values = [...new Set(values)];
    this.list.replaceChildren(...this.values.map((value) => el("li", {}, el("span", {}, value),
      el("button", { type: "button", "aria-label": `Remove ${this.noun} ${value}`, onclick: () => {
        this.set(this.values.filter((one) => one !== value));
        this.input.focus();
      } }, "×"))));
    this.onchange();
  }
}

/** "a, b and c". */
export function listed(texts) {
  if (texts.length < 2) return texts.join("");
  return `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`;
}

/** Why a statement was held back, for people. */
export function withheldBecause(fact) {
  const support = fact.support === undefined ? "" : ` (${percent(fact.support)} yes)`;
  switch (fact.reason) {
    case "not_shown": return `The model, shown this picture, does not see it borne out${support}.`;
    case "contradicted": return `Another answer to the same question is borne out better${support}.`;
    case "out_of_reach": return `Nothing it rests on can be judged on a picture, and the question is too far from it (distance ${number(fact.distance)}).`;
    case "superseded": return "A newer edit about the same picture and question gives another answer.";
    case "context_full": return "The model's context has no room for it beside the question, nearer statements and the answer.";
    default: return `${fact.reason}${support}`;
  }
}

/** A table from rows of cells; the first row is the head. */
export function table(caption, head, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden-text" }, caption),
      el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows)));
}

/** A page's heading, which gets the focus when the page is opened. */
export function heading(text, ...beside) {
  return el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, text), beside);
}
