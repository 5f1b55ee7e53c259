// What a reasoning model thought before its answer: folded, with the statements of edits that it cites marked.

import { el, put } from "./dom.js";
import { knows, t } from "./words.js";

/** The thinking of one answer. */
export class ThinkingView {
  constructor() {
    this.text = "";
    this.summary = el("summary", {}, t("thinking.now"));
    this.body = el("p", { class: "thought" });
    this.root = el("details", { class: "thinking", hidden: true }, this.summary, this.body);
  }

  /** The next piece. */
  add(text) {
    this.text += text;
    this.root.hidden = false;
    this.body.append(text);
  }

  /** The whole answer is there. */
  done(answer) {
    if (answer.thinking === undefined) return;
    this.text = answer.thinking;
    this.root.hidden = this.text === "";
    const { parts, cited } = marked(this.text, answer.retrieval.facts);
    put(this.body, parts);
    put(this.summary, t("thinking.thought"), cited > 0 ? [" · ", t("thinking.cites", { n: cited })] : null);
  }
}

/** What has to be said of a reply whose thinking was cut, or that has not its model's form. */
export function formNotes(answer) {
  const notes = [];
  if (answer.thinking_finish_reason === "length") notes.push(el("p", { class: "note" }, t("thinking.cut")));
  if (answer.format === "broken") {
    notes.push(el("p", { class: "note" }, t("thinking.broken"), " ",
      knows(`fault.${answer.format_fault}`) ? t(`fault.${answer.format_fault}`) : answer.format_fault),
      el("details", { class: "raw" }, el("summary", {}, t("thinking.reply")), el("p", { class: "thought" }, answer.raw_reply)));
  }
  return notes;
}

/** A text with what it cites of the facts in `mark`s; each names the statement's place in the list below the answer. */
function marked(text, facts) {
  const found = [];
  facts.forEach((fact, at) => {
    const pattern = patternOf(fact.value);
    if (pattern === null) return;
    for (const match of text.matchAll(pattern)) found.push({ start: match.index, end: match.index + match[0].length, at });
  });
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const parts = [];
  const cited = new Set();
  let here = 0;
  for (const { start, end, at } of found) {
    if (start < here) continue;
    cited.add(at);
    parts.push(text.slice(here, start), el("mark", { title: t("thinking.mark", { number: at + 1 }) },
      text.slice(start, end), el("span", { class: "hidden-text" }, " ", t("thinking.marked", { number: at + 1 }))));
    here = end;
  }
  parts.push(text.slice(here));
  return { parts, cited: cited.size };
}

/** Finds a statement whatever its case and spacing, and with another mark at its end. */
function patternOf(statement) {
  const tokens = statement.replace(/[\s.!?…]+$/u, "").match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu);
  if (tokens === null) return null;
  const word = (token) => /^[\p{L}\p{N}]/u.test(token);
  const escaped = tokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const joined = escaped.map((token, at) => (at === 0 ? "" : word(tokens[at - 1]) && word(tokens[at]) ? "\\s+" : "\\s*") + token).join("");
  return new RegExp(`(?<![\\p{L}\\p{N}])${joined}(?![\\p{L}\\p{N}])`, "giu");
}
