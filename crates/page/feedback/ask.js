// The first page: a picture, a question, the answer and why, and the way to correct it.

import { announce, button, el, field, put, trouble } from "./dom.js";
import { codebookName, query } from "./api.js";
import { confirm } from "./dialog.js";
import { Enlarged } from "./enlarge.js";
import { sift } from "./intake.js";
import { PictureView, showStored } from "./picture.js";
import { Chips, heading } from "./parts.js";
import { samples } from "./samples.js";
import { count, entitle, t } from "./words.js";
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
    this.title = heading(t("ask.title"));
    this.left = el("section", { class: "card pane", "aria-label": t("picture.title") }, this.frame);
    this.root = el("div", { class: "ask" }, this.title, samples((file, question) => this.take([file], question)),
      el("div", { class: "columns" }, el("div", { class: "left" }, this.left), el("div", { class: "right" }, this.form, this.answered, this.correction)));
    document.addEventListener("codebook", () => this.clear());
  }

  #picture() {
    this.file = el("input", { type: "file", accept: READ, class: "hidden-text", id: "picture-file" });
    this.file.addEventListener("change", () => { if (this.file.files[0]) this.take([...this.file.files]); });
    this.drop = el("label", { class: "drop", for: "picture-file" },
      el("span", { class: "drop-mark", "aria-hidden": "true" }),
      el("strong", {}, t("picture.choose")), el("span", {}, t("picture.drop")),
      el("span", { class: "hint" }, t("picture.formats")));
    this.told = el("div", { class: "told-of-files", role: "status" });
    this.caption = el("p", { class: "caption", hidden: true });
    this.legend = el("div", { class: "legend", hidden: true });
    this.frame = el("div", { class: "frame empty" }, this.file, this.drop, this.view.root, this.legend, this.caption, this.told);
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
      this.take([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files || [])];
      if (files.length > 0 && this.root.isConnected && !this.root.hidden) this.take(files);
    });
  }

  #form() {
    this.question = el("textarea", { rows: "2", required: true, placeholder: t("ask.question.placeholder"), spellcheck: "true" });
    this.choices = new Chips({ given: t("ask.choices.given"), remove: (value) => t("ask.choices.remove", { value }) }, t("ask.choices.placeholder"));
    this.compare = el("input", { type: "checkbox", checked: true, id: "compare" });
    this.go = el("button", { type: "submit", class: "primary" }, t("ask.go"));
    this.stop = button(t("ask.stop"), () => this.running?.abort(), { class: "quiet", hidden: true });
    this.problem = el("div");
    const choices = el("div", { class: "field" }, el("label", { for: this.choices.input.id }, t("ask.choices"), " ", el("span", { class: "hint" }, t("form.optional"))), this.choices.root);
    this.form = el("form", { class: "card question", "aria-label": t("ask.question"), novalidate: true },
      field(t("ask.question"), this.question), choices,
      el("div", { class: "row spread" },
        el("label", { class: "check", for: "compare" }, this.compare, " ", t("ask.compare")),
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

  /** Takes the first picture of some files, and says what becomes of the others; `question` is put where none was written. */
  async take(files, question = "") {
    const { file, told } = await sift(files);
    if (file !== null && !await this.#mayClear()) return;
    put(this.told, told.map((one) => el("p", { class: "note" }, one)));
    if (file === null) {
      this.file.value = "";
      announce(told.join(" "), true);
      return;
    }
    this.clear();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    try {
      this.image = { data: await dataUrl(file) };
    } catch (error) {
      put(this.problem, trouble(error));
      return;
    }
    const name = file.name || t("picture.pasted");
    const alt = t("picture.named", { name });
    const size = await this.#shown(alt, this.view.show(this.url, alt));
    put(this.caption, el("span", {}, name), size ? el("span", { class: "hint" }, sizeOf(size)) : null, this.#another());
    if (!size) this.told.append(el("p", { class: "note" }, t("picture.unshown")));
    this.file.value = "";
    if (this.question.value.trim() === "") this.question.value = question;
    this.question.focus();
  }

  /** Takes the picture, question and choices of an edit. */
  async takeEdit(edit) {
    if (!await this.#mayClear()) return;
    this.clear();
    this.image = { id: edit.image.id };
    this.question.value = edit.question;
    this.choices.set(edit.choices);
    put(this.told);
    const alt = t("picture.of-edit", { question: edit.question });
    try {
      await this.#shown(alt, showStored(this.view, edit.image.id, alt, edit.image));
    } catch (error) {
      put(this.problem, trouble(error));
    }
    put(this.caption, el("span", {}, t("picture.of-some-edit")), el("span", { class: "hint" }, sizeOf(edit.image)), this.#another());
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
    announce(t("picture.there", { name: alt }));
    return size;
  }

  #another() {
    return el("span", { class: "row" },
      this.readable ? button(t("enlarge.open"), () => new Enlarged(this.view, { title: t("picture.title") }), { class: "quiet small" }) : null,
      button(t("picture.another"), () => this.file.click(), { class: "quiet small" }));
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
    return await confirm(t("correct.give-up.title"), t("correct.give-up.text"), t("correct.give-up")) === true;
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
    const missing = this.image === null ? "ask.missing.picture" : question === "" ? "ask.missing.question" : this.choices.values.length === 1 ? "ask.missing.choices" : null;
    if (missing) {
      put(this.problem, el("p", { class: "trouble" }, t(missing)));
      announce(t(missing), true);
      (this.image === null ? this.file : question === "" ? this.question : this.choices.input).focus();
      return;
    }
    const asked = { image: this.image, question, choices: [...this.choices.values], codebook: codebookName() };
    const running = new AbortController();
    this.running = running;
    const view = new AnswerView();
    put(this.answered, view.root, view.why);
    this.#busy(true);
    announce(t("ask.asking"));
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
    put(this.go, t(busy ? "ask.asking" : "ask.go"));
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
    entitle(t("nav.ask"));
  }
}

function sizeOf({ width, height }) {
  return ["\u00a0", count(width), " × ", count(height)];
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
