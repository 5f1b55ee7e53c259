// The first page: a picture, a question, the answer and why, and the way to correct it.

import { announce, button, el, field, put, trouble } from "./dom.js";
import { codebookName, query } from "./api.js";
import { confirm } from "./dialog.js";
import { PictureView, showStored } from "./picture.js";
import { Chips, heading } from "./parts.js";
import { AnswerView, answerActions } from "./answer.js";
import { Correction } from "./correct.js";

/** What the service reads. */
const READ = ".jpg,.jpeg,.png,.webp,.gif,.bmp,.tif,.tiff,image/*";

/** The page. It stays as it is when others are looked at, so that an answer is not lost by following its sources. */
export class AskPage {
  constructor() {
    this.image = null;
    this.running = null;
    this.view = new PictureView();
    this.#picture();
    this.#form();
    this.answered = el("div", { class: "answered" });
    this.correction = el("div");
    this.title = heading("Ask about a picture");
    this.left = el("section", { class: "card pane", "aria-label": "Picture" }, this.frame);
    this.root = el("div", { class: "ask" }, this.title,
      el("div", { class: "columns" }, el("div", { class: "left" }, this.left), el("div", { class: "right" }, this.form, this.answered, this.correction)));
    document.addEventListener("codebook", () => this.clear());
  }

  #picture() {
    this.file = el("input", { type: "file", accept: READ, class: "hidden-text", id: "picture-file" });
    this.file.addEventListener("change", () => { if (this.file.files[0]) this.take(this.file.files[0]); });
    this.drop = el("label", { class: "drop", for: "picture-file" },
      el("span", { class: "drop-mark", "aria-hidden": "true" }),
      el("strong", {}, "Choose a picture"), el("span", {}, "or drop it here, or paste it"),
      el("span", { class: "hint" }, "JPEG, PNG, WebP, GIF, BMP or TIFF"));
    this.caption = el("p", { class: "caption", hidden: true });
    this.legend = el("div", { class: "legend", hidden: true });
    this.frame = el("div", { class: "frame empty" }, this.file, this.drop, this.view.root, this.legend, this.caption);
    this.view.root.hidden = true;
    for (const name of ["dragenter", "dragover"]) {
      this.frame.addEventListener(name, (event) => {
        event.preventDefault();
        this.frame.classList.add("over");
      });
    }
    this.frame.addEventListener("dragleave", () => this.frame.classList.remove("over"));
    this.frame.addEventListener("drop", (event) => {
      event.preventDefault();
      this.frame.classList.remove("over");
      const file = [...event.dataTransfer.files][0];
      if (file) this.take(file);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
      if (file && this.root.isConnected && !this.root.hidden) this.take(file);
    });
  }

  #form() {
    this.question = el("textarea", { rows: "2", required: true, placeholder: "What do you want to know about the picture?", spellcheck: "true" });
    this.choices = new Chips("choice", "Type an answer and press Enter");
    this.compare = el("input", { type: "checkbox", checked: true, id: "compare" });
    this.go = el("button", { type: "submit", class: "primary" }, "Ask");
    this.stop = button("Stop", () => this.running?.abort(), { class: "quiet", hidden: true });
    this.problem = el("div");
    const choices = el("div", { class: "field" }, el("label", { for: this.choices.input.id }, "Choices ", el("span", { class: "hint" }, "optional")), this.choices.root);
    this.form = el("form", { class: "card question", "aria-label": "Question", novalidate: true },
      field("Question", this.question), choices,
      el("div", { class: "row spread" },
        el("label", { class: "check", for: "compare" }, this.compare, " Ask without edits too, to compare"),
        el("div", { class: "row" }, this.stop, this.go)),
      this.problem);
    this.question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.form.requestSubmit();
      }
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
  }

  /** Takes a picture file. */
  async take(file) {
    if (!await this.#mayClear()) return;
    this.clear();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    try {
      this.image = { data: await dataUrl(file) };
    } catch (error) {
      put(this.problem, trouble(error));
      return;
    }
    const alt = `The picture ${file.name || "that was pasted"}`;
    const size = await this.#shown(alt, this.view.show(this.url, alt));
    put(this.caption, el("span", {}, file.name || "pasted picture"), size ? el("span", { class: "hint" }, ` ${size.width} × ${size.height}`) : null,
      this.#another());
    if (!size) this.caption.append(el("p", { class: "note" }, "This browser can't show such a picture. You can ask about it all the same; boxes can't be drawn."));
    this.file.value = "";
    this.question.focus();
  }

  /** Takes the picture, question and choices of an edit. */
  async takeEdit(edit) {
    if (!await this.#mayClear()) return;
    this.clear();
    this.image = { id: edit.image.id };
    this.question.value = edit.question;
    this.choices.set(edit.choices);
    const alt = `The picture of the edit “${edit.question}”`;
    try {
      await this.#shown(alt, showStored(this.view, edit.image.id, alt, edit.image));
    } catch (error) {
      put(this.problem, trouble(error));
    }
    put(this.caption, el("span", {}, "picture of an edit"), el("span", { class: "hint" }, ` ${edit.image.width} × ${edit.image.height}`), this.#another());
    this.question.focus();
  }

  async #shown(alt, showing) {
    this.frame.classList.remove("empty");
    this.drop.hidden = true;
    this.file.hidden = true;
    this.view.root.hidden = false;
    this.caption.hidden = false;
    const size = await showing;
    this.readable = size !== null;
    announce(`${alt} is there.`);
    return size;
  }

  #another() {
    return button("Another picture", () => this.file.click(), { class: "quiet small" });
  }

  /** Takes the last answer and correction away. */
  clear() {
    this.running?.abort();
    this.#leaveCorrection();
    put(this.answered);
    put(this.correction);
    put(this.problem);
  }

  /** Whether a correction that is being written may go. */
  async #mayClear() {
    if (!this.correcting?.unsaved) return true;
    return await confirm("Give up the correction?", "What was written to correct the last answer is not saved.", "Give it up") === true;
  }

  #leaveCorrection() {
    this.correcting?.leave();
    this.correcting = null;
    this.root.classList.remove("correcting");
  }

  /** Asks what stands in the form. */
  async ask() {
    this.choices.take();
    if (!await this.#mayClear()) return;
    this.clear();
    const question = this.question.value.trim();
    const missing = this.image === null ? "Choose a picture first." : question === "" ? "Write a question first." : this.choices.values.length === 1 ? "Give at least two choices, or none." : null;
    if (missing) {
      put(this.problem, el("p", { class: "trouble" }, missing));
      announce(missing, true);
      (this.image === null ? this.file : question === "" ? this.question : this.choices.input).focus();
      return;
    }
    const asked = { image: this.image, question, choices: [...this.choices.values], codebook: codebookName() };
    const running = new AbortController();
    this.running = running;
    const view = new AnswerView();
    put(this.answered, view.root, view.why);
    this.#busy(true);
    announce("Asking.");
    try {
      const body = { image: asked.image, question, compare: this.compare.checked, explain: false };
      if (asked.choices.length > 0) body.choices = asked.choices;
      for await (const [name, data] of query(body, running.signal)) {
        if (running.signal.aborted) break;
        if (name === "retrieval") view.retrieval(data);
        else if (name === "thinking") view.thought(data);
        else if (name === "token") view.token(data);
        else if (name === "done") {
          view.done(data, asked);
          answerActions(view, () => this.correct(asked, data));
        }
      }
    } catch (error) {
      if (error.name === "AbortError") view.stopped();
      else view.fail(trouble(error));
    } finally {
      if (this.running === running) {
        this.running = null;
        this.#busy(false);
      }
    }
  }

  #busy(busy) {
    this.go.disabled = busy;
    this.go.textContent = busy ? "Asking…" : "Ask";
    this.stop.hidden = !busy;
  }

  /** Opens the correction of an answer. */
  correct(asked, answer) {
    this.#leaveCorrection();
    this.correcting = new Correction({
      asked, answer, view: this.readable ? this.view : null, legend: this.legend,
      again: () => this.ask(),
      close: () => {
        this.#leaveCorrection();
        put(this.correction);
        this.answered.querySelector(".row button")?.focus();
      },
    });
    this.root.classList.add("correcting");
    put(this.correction, this.correcting.root);
    this.correcting.focus();
  }

  /** The page is shown. */
  shown() {
    document.title = "Ask · ReasonEdit";
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
