// One correction that waits or waited: what it says, what the model says without and with it, what was done with it; and deciding about it.

import { announce, button, el, field, pair, put, trouble, when } from "./dom.js";
import { change, getTagged, query, whoami } from "./api.js";
import { confirm } from "./dialog.js";
import { Enlarged } from "./enlarge.js";
import { stored } from "./picture.js";
import { chip, expert, heading, opinion, warned } from "./parts.js";
import { isOwn, mayDecide, stateOf } from "./review.js";
import { entitle, rich, t } from "./words.js";

/** The page of a proposal. */
export async function showProposal(root, id, signal) {
  entitle(t("review.one"));
  put(root, el("p", { class: "hint" }, t("frame.wait")));
  try {
    const [caller, { body, tag }] = await Promise.all([whoami(), getTagged(`/proposals/${encodeURIComponent(id)}`, { signal })]);
    if (signal.aborted) return;
    new ProposalPage(root, { proposal: body, tag, caller, signal });
  } catch (error) {
    if (error.name === "AbortError") return;
    put(root, heading(t("review.one")), error.status === 404
      ? el("p", { class: "none" }, rich("review.gone", { link: el("a", { href: "#/review" }, t("review.all")) })) : trouble(error));
  }
}

/** Where a box lies that was drawn in whichever direction. */
function upright({ x, y, width, height }) {
  return { x: Math.min(x, x + width), y: Math.min(y, y + height), width: Math.abs(width), height: Math.abs(height) };
}

function boxesOf(proposal) {
  return proposal.reasoning.flatMap((one, at) => one.evidence.map((area) => ({
    area: upright(area), label: String(at + 1), tone: at, name: t("box.by-person", { number: at + 1 }),
  })));
}

class ProposalPage {
  constructor(root, { proposal, tag, caller, signal }) {
    Object.assign(this, { root, proposal, tag, caller, signal });
    entitle(proposal.question);
    this.problem = el("div");
    this.picture = stored(proposal.image_id, boxesOf(proposal), t("picture.of-edit.seen", { n: proposal.reasoning.length }));
    this.deciding = el("section", { class: "card", "aria-labelledby": "decide-title" });
    put(root,
      el("p", { class: "crumbs" }, el("a", { href: "#/review" }, t("nav.review")), expert("span", {}, " / ", el("code", {}, proposal.id))),
      heading(proposal.question, stateOf(proposal)),
      el("div", { class: "columns" },
        el("div", { class: "left" }, el("section", { class: "card pane", "aria-label": t("picture.title") }, el("div", { class: "frame" }, this.picture.root),
          el("p", { class: "caption" }, button(t("enlarge.open"), () => new Enlarged(this.picture, { title: t("picture.title") }), { class: "quiet small" })))),
        el("div", { class: "right" }, this.#said(), this.deciding, reasons(proposal), history(proposal))));
    this.#decide();
  }

  /** What is proposed, and what the model says without and with it. */
  #said() {
    const { proposal } = this;
    const answers = el("div", { class: "two versus", "aria-live": "polite" });
    if (proposal.state === "waiting") this.#compare(answers);
    return el("section", { class: "card", "aria-labelledby": "answer-title" },
      el("h2", { id: "answer-title" }, t("edit.correction")),
      el("p", { class: "spoken" }, proposal.answer),
      proposal.amends ? el("p", {}, rich("review.amends.long", { link: el("a", { href: `#/edits/${proposal.amends}` }, t("review.amends.link")) })) : null,
      proposal.edit ? el("p", {}, el("a", { href: `#/edits/${proposal.edit}` }, t("review.edit"))) : null,
      warned(proposal.warnings),
      proposal.choices.length > 0 ? el("p", { class: "hint" }, t("edit.choices"), " ", proposal.choices.map((one) => [chip(one), " "]).flat()) : null,
      proposal.state === "waiting" ? answers : null);
  }

  async #compare(root) {
    const { proposal, signal } = this;
    put(root, el("p", { class: "hint" }, t("review.trying")));
    const asked = { image: { id: proposal.image_id }, question: proposal.question, compare: false, explain: false };
    if (proposal.choices.length > 0) asked.choices = proposal.choices;
    const answer = async (retrieval) => {
      for await (const [name, data] of query({ ...asked, retrieval }, signal)) if (name === "done") return data;
      return null;
    };
    try {
      const now = await answer({});
      const then = await answer({ as_if: [proposal.id] });
      put(root, opinion(t("review.now"), said(now)), opinion(t("review.then"), said(then), then.answer === proposal.answer ? "took" : ""));
    } catch (error) {
      if (error.name !== "AbortError") put(root, trouble(error));
    }
  }

  /** What may be done with it, by this person. */
  #decide() {
    const { proposal, caller } = this;
    const own = isOwn(proposal, caller);
    const waits = proposal.state === "waiting";
    const mine = caller.name === null ? null : proposal.approvals.some((one) => one.by === caller.name);
    const hint = !waits ? null : own ? t("review.own") : mine ? t("review.approved-before") : mayDecide(caller) ? t("review.decide.hint") : t("review.decide.others");
    const buttons = [];
    if (waits && mayDecide(caller) && !own) {
      if (!mine) buttons.push(button(t("review.approve"), (event) => this.#do(event.currentTarget, "approve", undefined), { class: "primary" }));
      buttons.push(button(t("review.reject"), () => this.#reject(), { class: "quiet danger" }));
    }
    if (waits && (own || mayDecide(caller))) buttons.push(button(t("review.amend"), () => this.#amend(), { class: "quiet" }));
    if (waits && own) buttons.push(button(t("review.withdraw"), (event) => this.#withdraw(event.currentTarget), { class: "quiet danger" }));
    const reason = proposal.steps.at(-1).reason;
    put(this.deciding, el("h2", { id: "decide-title" }, t("review.decide")), el("p", {}, stateOf(proposal)),
      reason ? el("p", { class: "note" }, t("review.because", { reason })) : null,
      hint ? el("p", { class: "hint" }, hint) : null, this.problem, buttons.length > 0 ? el("div", { class: "row" }, buttons) : null);
  }

  async #do(pressed, what, body) {
    pressed.disabled = true;
    put(this.problem);
    try {
      const { proposal } = this;
      await (what === "amend" ? change("PATCH", `/proposals/${proposal.id}`, body, this.tag)
        : what === "withdraw" ? change("DELETE", `/proposals/${proposal.id}`, undefined, this.tag)
          : change("POST", `/proposals/${proposal.id}/${what}`, body, this.tag));
      announce(t(`review.done.${what}`));
      await showProposal(this.root, proposal.id, this.signal);
      this.root.querySelector("h1")?.focus({ preventScroll: true });
    } catch (error) {
      pressed.disabled = false;
      put(this.problem, trouble(error));
    }
  }

  #reject() {
    const why = el("textarea", { rows: "3", maxlength: "2000", required: true });
    this.#form(field(t("review.reason"), why, t("review.reason.hint")), t("review.reject.go"), "danger",
      (go) => this.#do(go, "reject", { reason: why.value.trim() }));
    why.focus();
  }

  #amend() {
    const { proposal } = this;
    const answer = proposal.choices.length > 0
      ? el("select", {}, proposal.choices.map((one) => el("option", { value: one }, one))) : el("input", { type: "text", required: true });
    answer.value = proposal.answer;
    const why = el("textarea", { rows: String(Math.max(3, proposal.reasoning.length + 1)) });
    why.value = proposal.reasoning.map((one) => one.statement).join("\n");
    this.#form([field(t("correct.right"), answer), field(t("why.title"), why, t("review.amend.hint"))], t("review.amend.go"), "primary", (go) => {
      // A statement that is the same keeps what was drawn for it.
      const drawn = new Map(proposal.reasoning.map((one) => [one.statement, one.evidence]));
      const reasoning = why.value.split("\n").map((one) => one.trim()).filter(Boolean)
        .map((statement) => (drawn.get(statement)?.length > 0 ? { statement, evidence: drawn.get(statement) } : { statement }));
      this.#do(go, "amend", { answer: answer.value.trim(), reasoning });
    });
    answer.focus();
  }

  async #withdraw(go) {
    if (await confirm(t("review.withdraw.title"), t("review.withdraw.text"), t("review.withdraw.go"))) await this.#do(go, "withdraw", undefined);
  }

  #form(fields, label, tone, send) {
    const go = el("button", { type: "submit", class: tone }, label);
    const form = el("form", {}, fields, this.problem, el("div", { class: "row" }, button(t("dialog.cancel"), () => this.#decide(), { class: "quiet" }), go));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(go);
    });
    put(this.problem);
    put(this.deciding, el("h2", { id: "decide-title" }, t("review.decide")), form);
  }
}

/** An answer with how sure the model is of it. */
function said(answer) {
  const { choices, probability } = answer;
  return { answer: answer.answer, probability: choices ? choices.find((one) => one.text === answer.answer)?.probability ?? probability : probability };
}

function reasons(proposal) {
  const list = proposal.reasoning.map((one, at) => el("li", {}, el("span", { class: `number tone-${at % 6}` }, String(at + 1)),
    el("div", {}, el("p", { class: "statement" }, one.statement),
      el("p", { class: "hint" }, one.evidence.length > 0 ? t("edit.evidence.drawn", { n: one.evidence.length }) : t("review.evidence.none")))));
  return el("section", { class: "card", "aria-labelledby": "why-title" }, el("h2", { id: "why-title" }, t("why.title")),
    list.length > 0 ? el("ol", { class: "reasons" }, list) : el("p", { class: "hint" }, t("edit.no-reasons")));
}

function history(proposal) {
  const before = new Map(proposal.earlier.map((one) => [one.number, one]));
  const steps = proposal.steps.map((step) => {
    const earlier = step.what === "amended" ? before.get(step.version - 1) : null;
    return el("li", {}, t(`review.step.${step.what}`, { name: step.by || t("edit.no-author") }), " ", el("span", { class: "hint" }, when(step.at)),
      earlier ? el("p", { class: "hint" }, t("review.before", { answer: earlier.answer }), " ", earlier.reasoning.map((one) => one.statement).join(" ")) : null,
      step.reason ? el("p", {}, t("frame.quoted", { text: step.reason })) : null);
  });
  return el("section", { class: "card", "aria-labelledby": "steps-title" }, el("h2", { id: "steps-title" }, t("review.steps")),
    el("ul", { class: "plain" }, steps),
    proposal.tags.length > 0 ? el("dl", { class: "facts-list" }, pair(t("edit.tags"), proposal.tags.map((tag) => [chip(tag), " "]).flat())) : null);
}
