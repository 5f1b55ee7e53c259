// A picture as large as the window: to look closely, and to draw where a finger is as thick as what is to be marked.

import { button, el, put, uid } from "./dom.js";
import { percent, t } from "./words.js";

const MOST = 8;
const STEP = 1.5;

/** Whether the picture is too small, or too far from what is typed, to be drawn on where it stands. */
export function wantsRoom() {
  return matchMedia("(max-width: 62rem)").matches;
}

/** Shows the picture of a view until it is closed. `tools`: what else can be done there; `closed` is called at the end. */
export class Enlarged {
  constructor(view, { title, hint = null, tools = [], closed = () => {} }) {
    Object.assign(this, { view, closed });
    this.scale = 1;
    this.fingers = new Map();
    this.place = document.createComment("");
    this.level = el("span", { class: "level", role: "status" });
    this.stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": t("enlarge.stage") });
    const heading = el("h2", { id: uid("enlarged") }, title);
    this.dialog = el("dialog", { class: "enlarged", "aria-labelledby": heading.id },
      el("div", { class: "row spread" }, heading, button(t("enlarge.done"), () => this.dialog.close(), { class: "primary" })),
      hint ? el("p", { class: "hint" }, hint) : null,
      el("div", { class: "row" },
        button("−", () => this.zoom(this.scale / STEP), { class: "quiet", "aria-label": t("enlarge.out") }),
        this.level,
        button("+", () => this.zoom(this.scale * STEP), { class: "quiet", "aria-label": t("enlarge.in") }),
        button(t("enlarge.fit"), () => this.zoom(1), { class: "quiet" }), tools),
      this.stage);
    this.#wire();
    view.root.replaceWith(this.place);
    this.stage.append(view.root);
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.zoom(1);
    this.stage.focus();
  }

  #wire() {
    this.dialog.addEventListener("close", () => {
      this.fitting.disconnect();
      this.view.root.style.width = "";
      this.place.replaceWith(this.view.root);
      this.dialog.remove();
      this.closed();
    });
    this.dialog.addEventListener("keydown", (event) => {
      const to = { "+": this.scale * STEP, "=": this.scale * STEP, "-": this.scale / STEP, 0: 1 }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.zoom(to);
    });
    this.stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(this.scale * Math.exp(-event.deltaY / 200), this.#within(event));
    }, { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.#down(event), true);
    this.stage.addEventListener("pointermove", (event) => this.#move(event), true);
    for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, (event) => this.fingers.delete(event.pointerId), true);
    this.fitting = new ResizeObserver(() => this.zoom(this.scale));
    this.fitting.observe(this.stage);
  }

  /** Width of the picture that fits as a whole. */
  get #fit() {
    const { width, height } = this.view.size;
    return Math.min(this.stage.clientWidth, this.stage.clientHeight * (width / height));
  }

  #within(event) {
    const frame = this.stage.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  }

  /** Shows it at a multiple of the size that fits; what is at `about` stays there. */
  zoom(scale, about = { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 }) {
    const { stage } = this;
    const before = this.view.root.getBoundingClientRect();
    const frame = stage.getBoundingClientRect();
    const at = { x: (frame.left + about.x - before.left) / (before.width || 1), y: (frame.top + about.y - before.top) / (before.height || 1) };
    this.scale = Math.min(MOST, Math.max(1, scale));
    this.view.root.style.width = `${this.#fit * this.scale}px`;
    const after = this.view.root.getBoundingClientRect();
    stage.scrollLeft += after.left + at.x * after.width - frame.left - about.x;
    stage.scrollTop += after.top + at.y * after.height - frame.top - about.y;
    put(this.level, percent(Math.round(this.scale * 100) / 100));
  }

  #down(event) {
    this.fingers.set(event.pointerId, this.#within(event));
    if (this.fingers.size === 2) {
      this.view.giveUp();
      event.stopPropagation();
    }
  }

  #move(event) {
    const before = this.fingers.get(event.pointerId);
    if (before === undefined) return;
    const now = this.#within(event);
    if (this.fingers.size === 2) {
      const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
      this.#pan(before, now, 0.5);
      this.zoom((this.scale * apart(now)) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.fingers.size === 1 && this.view.ondraw === null && !event.target.closest(".box")) {
      this.#pan(before, now, 1);
    }
    this.fingers.set(event.pointerId, now);
  }

  #pan(before, now, share) {
    this.stage.scrollLeft -= (now.x - before.x) * share;
    this.stage.scrollTop -= (now.y - before.y) * share;
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }
}
