// Correcting an answer: what is right, why, and where the picture shows it.

import { announce, button, el, field, put, svg, tell, trouble, uid } from "./dom.js";
import { post, whoami } from "./api.js";
import { Enlarged, wantsRoom } from "./enlarge.js";
import { Outcome } from "./outcome.js";
import { Chips, expert, table, warned } from "./parts.js";
import { keepOwnName, ownName } from "./standing.js";
import { duration, number, percent, t } from "./words.js";

/** A correction that is being written, and what came of it. */
export class Correction {
  /** `asked`: picture, question, choices; `view`: the picture to draw on, if it can be seen; `again` asks once more; `close` takes this away. */
  constructor({ asked, answer, view, legend, again, close }) {
    Object.assign(this, { asked, answer, view, legend, again });
    this.onclose = close;
    this.statements = [];
    this.drawingFor = null;
    this.heatOf = null;
    this.enlarged = null;
    this.saved = false;
    this.escape = (event) => { if (event.key === "Escape") this.#draw(null); };
    // The same correction sent twice, after a broken connection say, makes one edit.
    this.key = freshKey();
    this.#build();
    this.add();
  }

  #build() {
    this.title = el("h2", { tabindex: "-1", id: uid("correct") }, t("correct.open"));
    this.list = el("ol", { class: "statements" });
    this.author = el("input", { type: "text", autocomplete: "name", value: ownName(), maxlength: "200" });
    this.tags = new Chips({ given: t("correct.tags.given"), remove: (value) => t("correct.tags.remove", { value }) }, t("correct.tags.placeholder"));
    this.save = el("button", { type: "submit", class: "primary" }, t("correct.save"));
    this.problem = el("div");
    this.form = el("form", { class: "card correct", "aria-labelledby": this.title.id, novalidate: true },
      this.title,
      this.#rightAnswer(),
      el("fieldset", {}, el("legend", {}, t("why.title")),
        el("p", { class: "hint" }, t("correct.why.hint")),
        this.list, button(t("correct.add"), () => this.add(true), { class: "quiet small" })),
      el("div", { class: "two" }, field(t("edit.author"), this.author, t("correct.author.hint")),
        el("div", { class: "field" }, el("label", { for: this.tags.input.id }, t("edit.tags"), " ", el("span", { class: "hint" }, t("form.optional"))), this.tags.root)),
      this.problem,
      el("div", { class: "row end" }, button(t("dialog.cancel"), () => this.close(), { class: "quiet" }), this.save));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.root = el("div", {}, this.form);
    this.#name();
  }

  /** The name that a token was given to is who the correction is by; a reader is told before typing that it can't be saved. */
  async #name() {
    let caller;
    try {
      caller = await whoami();
    } catch {
      // What is wrong is said when the correction is sent.
      return;
    }
    if (caller.role === "reader") put(this.problem, el("p", { class: "note" }, t("correct.reader")));
    if (caller.name === null || caller.role === "admin") return;
    this.author.value = caller.name;
    this.author.readOnly = true;
    tell(this.author, "title", t("correct.author.token"));
  }

  #rightAnswer() {
    const { choices } = this.asked;
    if (choices.length === 0) {
      this.right = el("input", { type: "text", required: true, autocomplete: "off" });
      this.rightValue = () => this.right.value.trim();
      return field(t("correct.right"), this.right, t("correct.said", { answer: this.answer.answer }));
    }
    const name = uid("right");
    this.other = el("input", { type: "text", autocomplete: "off", "aria-label": t("correct.other"), placeholder: t("correct.other") });
    const radios = choices.map((choice) => el("label", { class: "pick" }, el("input", { type: "radio", name, value: choice }), el("span", {}, choice),
      choice === this.answer.answer ? el("span", { class: "hint" }, t("correct.said.short")) : null));
    const another = el("input", { type: "radio", name, value: "", "aria-label": t("correct.other") });
    this.other.addEventListener("input", () => { another.checked = true; });
    const set = el("fieldset", { class: "picks" }, el("legend", {}, t("correct.right")), radios, el("div", { class: "pick" }, another, this.other));
    [this.right] = set.querySelectorAll("input");
    this.rightValue = () => {
      const picked = set.querySelector("input:checked");
      if (!picked) return "";
      return picked === another ? this.other.value.trim() : picked.value;
    };
    return set;
  }

  focus() {
    this.title.focus();
    this.form.scrollIntoView({ block: "nearest" });
  }

  /** Adds a statement. */
  add(focus = false) {
    const statement = { boxes: [], text: el("textarea", { rows: "1", id: uid("statement") }), found: null };
    statement.text.addEventListener("input", () => this.#stale(statement));
    statement.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      if (statement.text.value.trim()) this.add(true);
    });
    statement.text.addEventListener("paste", (event) => {
      const lines = event.clipboardData.getData("text").split("\n").map((line) => line.trim()).filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      statement.text.value = lines[0];
      for (const line of lines.slice(1)) this.add().text.value = line;
    });
    statement.item = el("li", { class: "statement-input" });
    this.statements.push(statement);
    this.list.append(statement.item);
    this.#render(statement);
    if (focus) statement.text.focus();
    return statement;
  }

  #stale(statement) {
    if (statement.found) {
      statement.found = null;
      this.#showHeat(null);
      this.#render(statement);
    }
  }

  #render(statement) {
    const at = this.statements.indexOf(statement);
    const label = el("label", { for: statement.text.id, class: `number tone-${at % 6}` }, el("span", { class: "hidden-text" }, t("correct.statement"), " "), String(at + 1));
    const drawing = this.drawingFor === statement;
    const typed = statement.text.value;
    const caret = document.activeElement === statement.text ? statement.text.selectionStart : null;
    const tools = this.view === null ? [] : [
      button(t(drawing ? "correct.drawn" : "correct.draw"), () => this.#draw(drawing ? null : statement), { class: `quiet small${drawing ? " on" : ""}`, "aria-pressed": String(drawing) }),
      button(t("correct.place"), () => this.#place(statement), { class: "quiet small", title: t("correct.place.hint") }),
    ];
    tools.push(button(t("find.go"), (event) => this.#find(statement, event.currentTarget), { class: "quiet small" }));
    if (statement.boxes.length > 0) tools.push(button(t("correct.unbox"), () => this.#setBoxes(statement, []), { class: "quiet small" }));
    if (this.statements.length > 1) tools.push(button(t("correct.remove"), () => this.#drop(statement), { class: "quiet small", "aria-label": t("correct.remove.one", { number: at + 1 }) }));
    const state = drawing ? t("correct.draw.hint")
      : statement.boxes.length > 0 ? t("correct.boxes", { n: statement.boxes.length })
        : t("correct.boxless");
    put(statement.item, label, el("div", {}, statement.text, el("div", { class: "row tools" }, tools), el("p", { class: "hint" }, state),
      statement.found ? this.#foundView(statement) : null));
    statement.text.value = typed;
    if (caret !== null) {
      statement.text.focus();
      statement.text.setSelectionRange(caret, caret);
    }
  }

  #renderAll() {
    for (const statement of this.statements) this.#render(statement);
    this.#showBoxes();
  }

  #drop(statement) {
    if (this.drawingFor === statement) this.#draw(null);
    if (this.heatOf === statement) this.#showHeat(null);
    const at = this.statements.indexOf(statement);
    this.statements.splice(at, 1);
    statement.item.remove();
    this.#renderAll();
    this.statements[Math.max(0, at - 1)].text.focus();
  }

  #draw(statement) {
    const before = this.drawingFor;
    this.drawingFor = statement;
    this.view.drawing(statement === null ? null : (area) => {
      this.#setBoxes(statement, [...statement.boxes, area]);
      announce(t("box.drawn", { number: statement.boxes.length }));
    });
    if (statement) {
      this.#showHeat(null);
      document.addEventListener("keydown", this.escape);
    } else {
      document.removeEventListener("keydown", this.escape);
    }
    for (const one of [before, statement]) if (one && this.statements.includes(one)) this.#render(one);
    this.#showBoxes();
    if (statement === null) {
      this.enlarged?.close();
      return;
    }
    statement.item.querySelector("[aria-pressed]").focus();
    if (wantsRoom()) this.#enlarge(statement);
    else this.view.root.scrollIntoView({ block: "nearest" });
  }

  /** Where the picture is small or out of sight, it is drawn on as large as the window. */
  #enlarge(statement) {
    const number = this.statements.indexOf(statement) + 1;
    this.enlarged = new Enlarged(this.view, {
      title: t("correct.draw.title", { number }), hint: t("correct.draw.enlarged"),
      tools: [button(t("correct.place"), () => this.#place(statement), { class: "quiet" }), button(t("correct.unbox"), () => this.#setBoxes(statement, []), { class: "quiet" })],
      closed: () => {
        this.enlarged = null;
        if (this.drawingFor === statement) this.#draw(null);
        statement.item.querySelector("[aria-pressed]")?.focus();
      },
    });
  }

  /** Whether something is written here that is not saved. */
  get unsaved() {
    return !this.saved && this.statements.some((one) => one.text.value.trim() !== "" || one.boxes.length > 0);
  }

  #place(statement) {
    const { width, height } = this.view.size;
    const area = { x: Math.round(width / 3), y: Math.round(height / 3), width: Math.max(1, Math.round(width / 3)), height: Math.max(1, Math.round(height / 3)) };
    this.#setBoxes(statement, [...statement.boxes, area]);
    const boxes = this.view.layer.boxes.querySelectorAll(".box");
    const before = this.statements.slice(0, this.statements.indexOf(statement)).reduce((sum, one) => sum + one.boxes.length, 0);
    boxes[before + statement.boxes.length - 1]?.focus();
  }

  #setBoxes(statement, boxes) {
    statement.boxes = boxes;
    this.#render(statement);
    this.#showBoxes();
  }

  #showBoxes() {
    this.view?.boxes(this.statements.flatMap((statement, at) => statement.boxes.map((area, nth) => ({
      area, label: String(at + 1), tone: at, current: this.drawingFor === statement,
      name: t("box.own", { number: nth + 1, statement: at + 1 }),
      change: () => {},
      remove: () => {
        this.#setBoxes(statement, statement.boxes.filter((one) => one !== area));
        announce(t("box.removed"));
        (this.enlarged?.stage ?? statement.text).focus();
      },
    }))));
  }

  async #find(statement, pressed) {
    const text = statement.text.value.trim();
    if (!text) {
      announce(t("find.empty"), true);
      statement.text.focus();
      return;
    }
    if (this.drawingFor) this.#draw(null);
    pressed.disabled = true;
    put(pressed, t("find.now"));
    announce(t("find.now"));
    try {
      const answer = await post("/evidence", { image: this.asked.image, statements: [text] });
      if (!this.statements.includes(statement) || statement.text.value.trim() !== text) return;
      [statement.found] = answer.statements;
      statement.timing = answer.timings_ms.total;
      this.#render(statement);
      this.#showHeat(statement);
      announce(foundText(statement.found));
    } catch (error) {
      statement.found = null;
      this.#render(statement);
      statement.item.append(trouble(error));
    }
  }

  #foundView(statement) {
    const { found } = statement;
    const best = [...found.candidates].sort((a, b) => b.p_yes - a.p_yes).slice(0, 5);
    const shown = this.heatOf === statement;
    const take = found.evidence.length > 0 && this.view ? button(t("find.take", { n: found.evidence.length }), () => {
      this.#showHeat(null);
      const areas = found.evidence.map(({ x, y, width, height }) => ({ x, y, width, height }));
      statement.found = null;
      this.#setBoxes(statement, areas);
      announce(t("find.taken"));
    }, { class: "small" }) : null;
    const rows = best.map((c) => el("tr", {}, el("td", {}, t("box.at", c)), el("td", {}, percent(c.p_yes)),
      el("td", {}, c.log_likelihood === undefined ? "–" : number(c.log_likelihood))));
    return el("div", { class: "found" },
      el("p", {}, foundText(found)),
      el("div", { class: "row" }, take,
        this.view ? button(t(shown ? "find.heat.hide" : "find.heat.show"), () => this.#showHeat(shown ? null : statement), { class: "quiet small", "aria-pressed": String(shown) }) : null),
      expert("details", {}, el("summary", {}, t("find.likeliest", { n: found.candidates.length })),
        table(t("find.table"), [t("find.part"), t("find.share"), t("find.likelihood")], rows)),
      el("p", { class: "hint" }, t("find.time", { time: duration(statement.timing) })));
  }

  #showHeat(statement) {
    const before = this.heatOf;
    this.heatOf = statement;
    if (this.view) {
      this.view.heat(statement ? statement.found.candidates : null);
      const mine = statement ? statement.found.evidence.map((area, at) => ({ area, label: String(at + 1), tone: 0, name: t("box.found", { number: at + 1 }) })) : null;
      if (mine) this.view.boxes(mine);
      else this.#showBoxes();
      this.legend.hidden = statement === null;
      put(this.legend, el("span", { class: "scale" }, el("span", {}, t("find.no")), gradient(), el("span", {}, t("find.surely"))),
        el("span", { class: "hint" }, t("find.heat")));
      if (statement) this.view.root.scrollIntoView({ block: "nearest" });
    }
    for (const one of [before, statement]) if (one?.found && this.statements.includes(one)) this.#render(one);
  }

  /** Sends the correction. */
  async send() {
    this.tags.take();
    const answer = this.rightValue();
    if (!answer) {
      put(this.problem, el("p", { class: "trouble" }, t("correct.missing")));
      announce(t("correct.missing"), true);
      this.right.focus();
      return;
    }
    const reasoning = this.statements.filter((one) => one.text.value.trim()).map((one) => (one.boxes.length > 0
      ? { statement: one.text.value.trim(), evidence: one.boxes.map(({ x, y, width, height }) => ({ x, y, width, height })) }
      : { statement: one.text.value.trim() }));
    const author = this.author.value.trim();
    if (!this.author.readOnly) keepOwnName(author);
    const { image, question } = this.asked;
    const body = { image, question, answer, reasoning };
    if (this.asked.choices.length > 0) body.choices = this.asked.choices.includes(answer) ? this.asked.choices : [...this.asked.choices, answer];
    if (author) body.author = author;
    if (this.tags.values.length > 0) body.tags = this.tags.values;
    this.#leavePicture();
    put(this.problem);
    this.save.disabled = true;
    put(this.save, t("correct.saving"));
    announce(t("correct.saving.said"));
    try {
      const text = JSON.stringify(body);
      // Changed after a refusal, it is another correction.
      if (this.sent !== undefined && this.sent !== text) this.key = freshKey();
      this.sent = text;
      this.#made(await post("/edits", body, { key: this.key }));
    } catch (error) {
      put(this.problem, trouble(error));
      this.#showBoxes();
    } finally {
      this.save.disabled = false;
      put(this.save, t("correct.save"));
    }
  }

  /** It is no correction yet: a colleague looks at it first. */
  #proposed(proposal) {
    this.saved = true;
    document.dispatchEvent(new Event("proposed"));
    const title = el("h2", { tabindex: "-1" }, t("outcome.proposed"));
    put(this.root, el("section", { class: "card made" }, title, el("p", { class: "note" }, t("outcome.proposed.text")), warned(proposal.warnings),
      el("div", { class: "row end" }, el("a", { class: "button primary", href: `#/review/${proposal.id}` }, t("outcome.proposed.open")))));
    announce(`${t("outcome.proposed")} ${t("outcome.proposed.text")}`);
    title.focus();
  }

  #made(edit) {
    if (edit.status === "proposed") {
      this.#proposed(edit);
      return;
    }
    this.saved = true;
    if (edit.conflicts.some((one) => one.contradiction)) document.dispatchEvent(new Event("contradicted"));
    this.outcome = new Outcome(edit, {
      asked: this.asked,
      seen: { answer: this.answer.answer, probability: probabilityOf(this.answer) },
      again: this.again,
      anew: () => {
        this.key = freshKey();
        this.sent = undefined;
        this.saved = false;
        put(this.root, this.form);
        this.#showBoxes();
        this.focus();
      },
    });
    put(this.root, this.outcome.root);
    // Where the model saw each statement is drawn on the picture.
    this.view?.boxes(edit.reasoning.flatMap((one, at) => one.evidence.map((area) => ({ area, label: String(at + 1), tone: at, name: t("box.of-statement", { number: at + 1 }) }))));
    this.outcome.announce();
  }

  #leavePicture() {
    if (this.drawingFor) this.#draw(null);
    if (this.heatOf) this.#showHeat(null);
  }

  /** Takes everything of this off the picture. */
  leave() {
    this.#leavePicture();
    this.view?.boxes([]);
    this.legend.hidden = true;
  }

  /** Gives it up. */
  close() {
    this.leave();
    this.onclose();
  }
}

/** How sure the model was of the answer that the person saw. */
function probabilityOf(answer) {
  return answer.choices ? answer.choices.find((one) => one.text === answer.answer)?.probability : answer.probability;
}

function foundText(found) {
  const whole = percent(found.p_yes);
  if (found.evidence.length === 0) return t("find.nowhere", { whole });
  return t("find.seen", { n: found.evidence.length, share: percent(Math.max(...found.evidence.map((one) => one.p_yes ?? 0))), whole });
}

/** `randomUUID` is there in secure contexts only, and the service may be reached by plain HTTP in a clinic's network. */
function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function gradient() {
  const steps = [0, 0.2, 0.4, 0.6, 0.8, 1];
  return svg("svg", { class: "gradient", viewBox: "0 0 60 10", "aria-hidden": "true" }, steps.map((p, at) => svg("rect", { x: at * 10, y: 0, width: 10, height: 10, "fill-opacity": 0.75 * p })));
}
