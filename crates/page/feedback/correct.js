// Correcting an answer: what is right, why, and where the picture shows it.

import { announce, button, duration, el, field, number, percent, put, several, svg, trouble, uid, when } from "./dom.js";
import { codebookName, post, remove, whoami } from "./api.js";
import { Chips, chip, opinion, rivals, table, warned } from "./parts.js";

const AUTHOR = "reasonedit.author";

/** A correction that is being written, and what came of it. */
export class Correction {
  /** `asked`: picture, question, choices; `view`: the picture to draw on, if it can be seen; `again` asks once more; `close` takes this away. */
  constructor({ asked, answer, view, legend, again, close }) {
    Object.assign(this, { asked, answer, view, legend, again });
    this.onclose = close;
    this.statements = [];
    this.drawingFor = null;
    this.heatOf = null;
    this.saved = false;
    this.escape = (event) => { if (event.key === "Escape") this.#draw(null); };
    // The same correction sent twice, after a broken connection say, makes one edit.
    this.key = freshKey();
    this.#build();
    this.add();
  }

  #build() {
    this.title = el("h2", { tabindex: "-1", id: uid("correct") }, "Correct it");
    this.list = el("ol", { class: "statements" });
    this.author = el("input", { type: "text", autocomplete: "name", value: localStorage.getItem(AUTHOR) || "", maxlength: "200" });
    this.tags = new Chips("tag", "Type a tag and press Enter");
    this.save = el("button", { type: "submit", class: "primary" }, "Save the correction");
    this.problem = el("div");
    this.form = el("form", { class: "card correct", "aria-labelledby": this.title.id, novalidate: true },
      this.title,
      this.#rightAnswer(),
      el("fieldset", {}, el("legend", {}, "Why"),
        el("p", { class: "hint" }, "One statement each: what the picture shows, and what follows from it. Enter begins the next one."),
        this.list, button("Add a statement", () => this.add(true), { class: "quiet small" })),
      el("div", { class: "two" }, field("Author", this.author, "Stands beside every answer that this is used for."),
        el("div", { class: "field" }, el("label", { for: this.tags.input.id }, "Tags ", el("span", { class: "hint" }, "optional")), this.tags.root)),
      this.problem,
      el("div", { class: "row end" }, button("Cancel", () => this.close(), { class: "quiet" }), this.save));
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
    if (caller.role === "reader") put(this.problem, el("p", { class: "note" }, "Your token is a reader's: corrections can't be saved with it."));
    if (caller.name === null || caller.role === "admin") return;
    this.author.value = caller.name;
    this.author.readOnly = true;
    this.author.title = "Whom the token was given to";
  }

  #rightAnswer() {
    const { choices } = this.asked;
    if (choices.length === 0) {
      this.right = el("input", { type: "text", required: true, autocomplete: "off" });
      this.rightValue = () => this.right.value.trim();
      return field("The right answer", this.right, `The model said “${this.answer.answer}”.`);
    }
    const name = uid("right");
    this.other = el("input", { type: "text", autocomplete: "off", "aria-label": "Another answer", placeholder: "another answer" });
    const radios = choices.map((choice) => el("label", { class: "pick" }, el("input", { type: "radio", name, value: choice }), el("span", {}, choice),
      choice === this.answer.answer ? el("span", { class: "hint" }, "said") : null));
    const another = el("input", { type: "radio", name, value: "", "aria-label": "Another answer" });
    this.other.addEventListener("input", () => { another.checked = true; });
    const set = el("fieldset", { class: "picks" }, el("legend", {}, "The right answer"), radios, el("div", { class: "pick" }, another, this.other));
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
    const label = el("label", { for: statement.text.id, class: `number tone-${at % 6}` }, el("span", { class: "hidden-text" }, "Statement "), String(at + 1));
    const drawing = this.drawingFor === statement;
    const typed = statement.text.value;
    const caret = document.activeElement === statement.text ? statement.text.selectionStart : null;
    const tools = this.view === null ? [] : [
      button(drawing ? "Done drawing" : "Draw a box", () => this.#draw(drawing ? null : statement), { class: `quiet small${drawing ? " on" : ""}`, "aria-pressed": String(drawing) }),
      button("Place a box", () => this.#place(statement), { class: "quiet small", title: "Puts a box in the middle, to be moved with the arrow keys" }),
    ];
    tools.push(button("Find it for me", (event) => this.#find(statement, event.currentTarget), { class: "quiet small" }));
    if (statement.boxes.length > 0) tools.push(button("Remove boxes", () => this.#setBoxes(statement, []), { class: "quiet small" }));
    if (this.statements.length > 1) tools.push(button("Remove", () => this.#drop(statement), { class: "quiet small", "aria-label": `Remove statement ${at + 1}` }));
    const state = drawing ? "Drag on the picture around what shows this."
      : statement.boxes.length > 0 ? `Seen in ${several(statement.boxes.length, "box", "boxes")} of yours.`
        : "No box: the model will look for it when you save.";
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
      announce(`Box ${statement.boxes.length} drawn.`);
    });
    if (statement) {
      this.#showHeat(null);
      document.addEventListener("keydown", this.escape);
    } else {
      document.removeEventListener("keydown", this.escape);
    }
    for (const one of [before, statement]) if (one && this.statements.includes(one)) this.#render(one);
    this.#showBoxes();
    if (statement) statement.item.querySelector("[aria-pressed]").focus();
    if (statement) this.view.root.scrollIntoView({ block: "nearest" });
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
      name: `Box ${nth + 1} of statement ${at + 1}`,
      change: () => {},
      remove: () => {
        this.#setBoxes(statement, statement.boxes.filter((one) => one !== area));
        announce("Box removed.");
        statement.text.focus();
      },
    }))));
  }

  async #find(statement, pressed) {
    const text = statement.text.value.trim();
    if (!text) {
      announce("Write the statement first.", true);
      statement.text.focus();
      return;
    }
    if (this.drawingFor) this.#draw(null);
    pressed.disabled = true;
    pressed.textContent = "Looking…";
    announce("Looking for it in the picture.");
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
    const take = found.evidence.length > 0 && this.view ? button(found.evidence.length === 1 ? "Use this box" : `Use these ${found.evidence.length} boxes`, () => {
      this.#showHeat(null);
      const areas = found.evidence.map(({ x, y, width, height }) => ({ x, y, width, height }));
      statement.found = null;
      this.#setBoxes(statement, areas);
      announce("The boxes are yours now; they can be moved.");
    }, { class: "small" }) : null;
    const rows = best.map((c) => el("tr", {}, el("td", {}, `${c.width} × ${c.height} at ${c.x}, ${c.y}`), el("td", {}, percent(c.p_yes)),
      el("td", {}, c.log_likelihood === undefined ? "–" : number(c.log_likelihood))));
    return el("div", { class: "found" },
      el("p", {}, foundText(found)),
      el("div", { class: "row" }, take,
        this.view ? button(shown ? "Hide the heat map" : "Show the heat map", () => this.#showHeat(shown ? null : statement), { class: "quiet small", "aria-pressed": String(shown) }) : null),
      el("details", {}, el("summary", {}, `The five likeliest of ${found.candidates.length} parts`),
        table("Parts of the picture and what the model says of them", ["Part", "Yes", "Likelihood as its description"], rows)),
      el("p", { class: "hint" }, `Looked through in ${duration(statement.timing)}.`));
  }

  #showHeat(statement) {
    const before = this.heatOf;
    this.heatOf = statement;
    if (this.view) {
      this.view.heat(statement ? statement.found.candidates : null);
      const mine = statement ? statement.found.evidence.map((area, at) => ({ area, label: `found ${at + 1}`, tone: 0, name: `Found part ${at + 1}` })) : null;
      if (mine) this.view.boxes(mine);
      else this.#showBoxes();
      this.legend.hidden = statement === null;
      put(this.legend, el("span", { class: "scale" }, el("span", {}, "no"), gradient(), el("span", {}, "yes")),
        el("span", { class: "hint" }, "How sure the model is, part by part, that it sees this; small parts count more."));
      if (statement) this.view.root.scrollIntoView({ block: "nearest" });
    }
    for (const one of [before, statement]) if (one?.found && this.statements.includes(one)) this.#render(one);
  }

  /** Sends the correction. */
  async send() {
    this.tags.take();
    const answer = this.rightValue();
    if (!answer) {
      put(this.problem, el("p", { class: "trouble" }, "Say what the right answer is."));
      announce("Say what the right answer is.", true);
      this.right.focus();
      return;
    }
    const reasoning = this.statements.filter((one) => one.text.value.trim()).map((one) => (one.boxes.length > 0
      ? { statement: one.text.value.trim(), evidence: one.boxes.map(({ x, y, width, height }) => ({ x, y, width, height })) }
      : { statement: one.text.value.trim() }));
    const author = this.author.value.trim();
    if (!this.author.readOnly) localStorage.setItem(AUTHOR, author);
    const { image, question } = this.asked;
    const body = { image, question, answer, reasoning };
    if (this.asked.choices.length > 0) body.choices = this.asked.choices.includes(answer) ? this.asked.choices : [...this.asked.choices, answer];
    if (author) body.author = author;
    if (this.tags.values.length > 0) body.tags = this.tags.values;
    this.#leavePicture();
    put(this.problem);
    this.save.disabled = true;
    this.save.textContent = "Saving…";
    announce("Saving the correction. The model is asked before and after.");
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
      this.save.textContent = "Save the correction";
    }
  }

  #made(edit) {
    this.saved = true;
    const took = edit.after && edit.after.answer === edit.answer;
    const title = el("h2", { tabindex: "-1" }, "Correction saved");
    const said = edit.after === null ? edit.after_absent?.detail ?? "The model could not be asked afterwards; the correction is stored."
      : took ? (edit.before && edit.before.answer === edit.answer ? "The model gave this answer before, and still does." : "It took: the model now gives the right answer.")
        : "It is stored, but the model's answer to this very question is still another one. More statements, or ones closer to what the picture shows, may help.";
    const state = el("p", { class: took ? "good" : "note" }, said);
    const undo = button("Undo", async () => {
      undo.disabled = true;
      try {
        await remove(`/edits/${edit.id}`);
        put(state, "Undone. The codebook is what it would be had the correction never been made.");
        state.className = "note";
        put(title, "Correction undone");
        announce("The correction is undone.");
        actions.replaceChildren(button("Ask again", this.again, { class: "quiet" }), button("Correct it anew", () => {
          this.key = freshKey();
          this.sent = undefined;
          this.saved = false;
          put(this.root, this.form);
          this.#showBoxes();
          this.focus();
        }, { class: "quiet" }));
        title.focus();
      } catch (error) {
        undo.disabled = false;
        state.after(trouble(error));
      }
    }, { class: "quiet" });
    const actions = el("div", { class: "row end" }, undo, el("a", { class: "button quiet", href: `#/edits/${edit.id}` }, "Open the edit"), button("Ask again", this.again, { class: "primary" }));
    const evidence = edit.reasoning.map((one, at) => el("li", {}, el("span", { class: `number tone-${at % 6}` }, String(at + 1)), el("span", {}, one.statement, " ",
      one.evidence.length > 0 ? chip(one.evidence[0].source === "user" ? `${several(one.evidence.length, "box", "boxes")} of yours` : `found in ${several(one.evidence.length, "part")}`) : chip("no part shows it", "soft"))));
    put(this.root, el("section", { class: "card made" }, title, state,
      el("div", { class: "two versus" }, opinion("Before", edit.before, "", edit.before_absent), opinion("After", edit.after, took ? "took" : "", edit.after_absent)),
      rivals(edit),
      evidence.length > 0 ? el("ol", { class: "reasons" }, evidence) : null,
      warned(edit.warnings),
      el("p", { class: "hint" }, `${several(edit.entries.length, "entry", "entries")} in the codebook${codebookName() ? ` ${codebookName()}` : ""}, made in ${duration(edit.timings_ms.total)}, `, when(edit.created_at), "."),
      actions));
    // Where the model saw each statement is drawn on the picture.
    this.view?.boxes(edit.reasoning.flatMap((one, at) => one.evidence.map((area) => ({ area, label: String(at + 1), tone: at, name: `Evidence of statement ${at + 1}` }))));
    announce(`Correction saved. ${said}`);
    title.focus();
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

function foundText(found) {
  if (found.evidence.length === 0) return `The model sees this in no part of the picture (whole picture: ${percent(found.p_yes)} yes).`;
  return `Seen in ${several(found.evidence.length, "part")}, ${percent(Math.max(...found.evidence.map((one) => one.p_yes ?? 0)))} yes at best (whole picture: ${percent(found.p_yes)}).`;
}

/** `randomUUID` is there in secure contexts only, and the service may be reached by plain HTTP in a clinic's network. */
function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function gradient() {
  const steps = [0, 0.2, 0.4, 0.6, 0.8, 1];
  return svg("svg", { class: "gradient", viewBox: "0 0 60 10", "aria-hidden": "true" }, steps.map((p, at) => svg("rect", { x: at * 10, y: 0, width: 10, height: 10, "fill-opacity": 0.75 * p })));
}
