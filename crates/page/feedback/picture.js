// Pictures with things drawn on them: boxes that can be moved, and the heat map of what the model said of every part.

import { el, svg, tell } from "./dom.js";
import { imagePath, imageSource } from "./api.js";
import { number, percent, t } from "./words.js";

/** Least side of a box that is drawn, in pixels of the picture. */
const LEAST = 4;

/** A picture with an overlay in its own pixels. */
export class PictureView {
  constructor() {
    this.img = el("img", { alt: "", draggable: "false" });
    this.layer = { heat: svg("g", { class: "heat" }), boxes: svg("g"), drawn: svg("g") };
    this.overlay = svg("svg", { class: "overlay", preserveAspectRatio: "none", role: "group", "aria-label": t("box.all") },
      this.layer.heat, this.layer.boxes, this.layer.drawn);
    this.root = el("div", { class: "shot" }, this.img, this.overlay);
    this.size = { width: 1, height: 1 };
    this.ondraw = null;
    this.following = null;
    this.drawn = [];
    // Labels and corners are as large on the screen whatever the size of the picture.
    new ResizeObserver(() => { if (this.drawn.length > 0) this.boxes(this.drawn); }).observe(this.root);
    this.overlay.addEventListener("pointerdown", (event) => this.#drawFrom(event));
  }

  /** Shows a picture; resolves to its size in upright pixels, or `null` where the browser can't read it. */
  show(source, alt) {
    return new Promise((resolve) => {
      this.img.onload = () => {
        this.#resize(this.img.naturalWidth, this.img.naturalHeight);
        this.root.classList.remove("unreadable");
        resolve(this.size);
      };
      this.img.onerror = () => {
        this.root.classList.add("unreadable");
        resolve(null);
      };
      tell(this.img, "alt", alt);
      this.img.src = source;
    });
  }

  #resize(width, height) {
    this.size = { width, height };
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.root.style.setProperty("--ratio", width / height);
  }

  /** Pixels of the picture to one of the screen. */
  get scale() {
    return this.size.width / (this.overlay.clientWidth || this.size.width);
  }

  /**
   * Draws boxes: `{area, label, tone, name, current, change, remove}`. With `change` a box can be moved and resized with pointer and arrow
   * keys, and `remove`d with Delete.
   */
  boxes(list) {
    this.drawn = list;
    const focused = this.overlay.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    this.layer.boxes.replaceChildren(...list.map((box, at) => this.#box(box, at)));
    if (focused !== null) this.layer.boxes.querySelector(`[data-at="${focused}"]`)?.focus();
  }

  #box(box, at) {
    const unit = this.scale;
    const rect = svg("rect", { class: "edge" });
    const halo = svg("rect", { class: "halo" });
    const tag = svg("g", { class: "tag" }, svg("rect", { rx: 3 * unit }), svg("text", {}, box.label));
    const corners = box.change ? ["nw", "ne", "sw", "se"].map((name) => svg("circle", { class: "corner", r: 6 * unit, "data-corner": name })) : [];
    const group = svg("g", { class: `box tone-${box.tone % 6}${box.current ? " current" : ""}`, "data-at": String(at) }, halo, rect, tag, corners);
    const place = () => {
      const { x, y, width, height } = box.area;
      for (const one of [rect, halo]) for (const [name, value] of Object.entries({ x, y, width, height })) one.setAttribute(name, value);
      const [wide, high] = [(8 + 8 * box.label.length) * unit, 18 * unit];
      const left = Math.min(x, Math.max(0, this.size.width - wide));
      const up = y >= high ? y - high : y;
      const [back, text] = tag.children;
      for (const [name, value] of Object.entries({ x: left, y: up, width: wide, height: high })) back.setAttribute(name, value);
      for (const [name, value] of Object.entries({ x: left + wide / 2, y: up + 13.5 * unit, "font-size": 13 * unit })) text.setAttribute(name, value);
      for (const corner of corners) {
        corner.setAttribute("cx", corner.dataset.corner.includes("w") ? x : x + width);
        corner.setAttribute("cy", corner.dataset.corner.includes("n") ? y : y + height);
      }
      tell(group, "aria-label", t("box.placed", { name: box.name, width, height, x, y }));
    };
    place();
    if (!box.change) {
      group.setAttribute("role", "img");
      return group;
    }
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "group");
    tell(group, "aria-roledescription", t("box.keys"));
    group.addEventListener("keydown", (event) => this.#key(event, box, place));
    group.addEventListener("pointerdown", (event) => this.#drag(event, box, place));
    return group;
  }

  #key(event, box, place) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      box.remove();
      return;
    }
    const step = Math.max(1, Math.round(Math.min(this.size.width, this.size.height) / 100)) * (event.ctrlKey ? 5 : 1);
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!by) return;
    event.preventDefault();
    const { x, y, width, height } = box.area;
    const area = event.shiftKey ? { x, y, width: width + by[0], height: height + by[1] } : { x: x + by[0], y: y + by[1], width, height };
    Object.assign(box.area, this.#inside(area, !event.shiftKey));
    place();
    box.change();
  }

  #drag(event, box, place) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    event.stopPropagation();
    event.currentTarget.focus();
    const corner = event.target.dataset?.corner;
    const start = this.#at(event);
    const from = { ...box.area };
    const far = { x: from.x + from.width, y: from.y + from.height };
    this.#follow(event, (to) => {
      const [dx, dy] = [to.x - start.x, to.y - start.y];
      let area = { ...from, x: from.x + dx, y: from.y + dy };
      if (corner) {
        const left = corner.includes("w") ? from.x + dx : from.x;
        const right = corner.includes("w") ? far.x : far.x + dx;
        const top = corner.includes("n") ? from.y + dy : from.y;
        const bottom = corner.includes("n") ? far.y : far.y + dy;
        area = between({ x: left, y: top }, { x: right, y: bottom });
      }
      Object.assign(box.area, this.#inside(area, !corner));
      place();
    }, () => box.change());
  }

  /** While set, a drag on the picture draws a box, which is given to it. */
  drawing(ondraw) {
    this.ondraw = ondraw;
    this.root.classList.toggle("drawing", ondraw !== null);
  }

  #drawFrom(event) {
    if (!this.ondraw || event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    const start = this.#at(event);
    const rect = svg("rect", { class: "rubber" });
    this.layer.drawn.replaceChildren(rect);
    let area = null;
    this.#follow(event, (to) => {
      area = this.#inside(between(start, to), false);
      for (const [name, value] of Object.entries(area)) rect.setAttribute(name, value);
    }, (given) => {
      this.layer.drawn.replaceChildren();
      if (!given && area && area.width >= LEAST && area.height >= LEAST) this.ondraw?.(area);
    });
  }

  #follow(event, move, end) {
    const target = this.overlay;
    target.setPointerCapture(event.pointerId);
    const onmove = (next) => move(this.#at(next));
    const onend = (ended) => {
      target.removeEventListener("pointermove", onmove);
      target.removeEventListener("pointerup", onend);
      target.removeEventListener("pointercancel", onend);
      this.following = null;
      end(ended === null);
    };
    this.following = () => onend(null);
    target.addEventListener("pointermove", onmove);
    target.addEventListener("pointerup", onend);
    target.addEventListener("pointercancel", onend);
  }

  /** Gives up what is being drawn: a second finger has come. */
  giveUp() {
    this.following?.();
  }

  #at(event) {
    const frame = this.overlay.getBoundingClientRect();
    const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    return {
      x: clamp(((event.clientX - frame.left) / frame.width) * this.size.width, this.size.width),
      y: clamp(((event.clientY - frame.top) / frame.height) * this.size.height, this.size.height),
    };
  }

  /** The box within the picture; `rigid`: moved in, else cut off. */
  #inside(area, rigid) {
    const along = (start, extent, whole) => {
      if (rigid) {
        extent = Math.min(extent, whole);
        return [Math.min(Math.max(start, 0), whole - extent), extent];
      }
      const from = Math.min(Math.max(start, 0), whole - 1);
      return [from, Math.max(1, Math.min(start + extent, whole) - from)];
    };
    const [x, width] = along(area.x, area.width, this.size.width);
    const [y, height] = along(area.y, area.height, this.size.height);
    return { x, y, width, height };
  }

  /** Shows the candidates of a search as heat; `null` takes it away. */
  heat(candidates) {
    const cells = candidates === null ? [] : heatCells(candidates);
    this.root.classList.toggle("heated", cells.length > 0);
    this.layer.heat.replaceChildren(...cells.map((cell) => svg("rect", {
      x: cell.x, y: cell.y, width: cell.width, height: cell.height, "fill-opacity": (0.75 * cell.p).toFixed(3),
    }, svg("title", {}, t("find.yes", { share: percent(cell.p) })))));
  }
}

function between(a, b) {
  return { x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(a.x - b.x), height: Math.abs(a.y - b.y) };
}

/**
 * The picture cut along all edges of the candidates; each piece has the mean of p_yes over the candidates that cover it, where small ones count
 * more: a large part says yes for the sake of any place in it.
 */
export function heatCells(candidates) {
  const edges = (start, extent) => [...new Set(candidates.flatMap((c) => [c[start], c[start] + c[extent]]))].sort((a, b) => a - b);
  const [across, down] = [edges("x", "width"), edges("y", "height")];
  const cells = [];
  for (let i = 0; i + 1 < across.length; i += 1) {
    for (let j = 0; j + 1 < down.length; j += 1) {
      const [x, y, width, height] = [across[i], down[j], across[i + 1] - across[i], down[j + 1] - down[j]];
      const over = candidates.filter((c) => c.x <= x && x + width <= c.x + c.width && c.y <= y && y + height <= c.y + c.height);
      if (over.length === 0) continue;
      const weight = over.reduce((sum, c) => sum + 1 / (c.width * c.height), 0);
      const p = over.reduce((sum, c) => sum + c.p_yes / (c.width * c.height), 0) / weight;
      cells.push({ x, y, width, height, p });
    }
  }
  return cells;
}

/** Shows a stored picture; where the browser can't read its format (TIFF), as PNG, if its size is known. Gives what `show` does. */
export async function showStored(view, id, alt, known) {
  const whole = known ? { x: 0, y: 0, width: known.width, height: known.height } : null;
  for (const path of [imagePath(id), whole && imagePath(id, whole)]) {
    if (path === null) continue;
    const source = await imageSource(path);
    const size = await view.show(source, alt);
    URL.revokeObjectURL(source);
    if (size) return size;
  }
  return null;
}

/** A stored picture with boxes on it that only show. `known`: its size, if it is known. */
export function stored(id, boxes, alt, known) {
  const view = new PictureView();
  if (boxes.length === 0) view.overlay.setAttribute("aria-hidden", "true");
  showStored(view, id, alt, known)
    .then((size) => {
      if (size) view.boxes(boxes);
      else view.root.append(el("span", { class: "hint" }, t("picture.unseen")));
    })
    .catch(() => view.root.classList.add("unreadable"));
  return view;
}

/** A part of a stored picture. */
export function crop(id, area, alt) {
  const img = el("img", { class: "crop", alt, loading: "lazy" });
  imageSource(imagePath(id, area)).then((source) => {
    img.onload = () => URL.revokeObjectURL(source);
    img.src = source;
  }).catch(() => img.classList.add("unreadable"));
  return img;
}

/** Distances against a threshold on one scale, for the eye; the figures stand beside it as text. */
export function ruler(distance, threshold, label) {
  const [wide, high] = [160, 22];
  const most = Math.max(distance, threshold ?? 0, 1e-9) * 1.15;
  const at = (value) => 4 + ((wide - 8) * value) / most;
  const within = threshold === null || threshold === undefined ? null
    : svg("rect", { class: "within", x: 4, y: 8, width: at(threshold) - 4, height: 6, rx: 3 });
  const gate = within && svg("path", { class: "gate", d: `M${at(threshold)} 3V19` });
  return svg("svg", { class: "ruler", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": label || t("why.ruler", { distance: number(distance), limit: number(threshold) }) },
    svg("rect", { class: "track", x: 4, y: 8, width: wide - 8, height: 6, rx: 3 }), within, gate,
    svg("circle", { class: threshold !== null && distance > threshold ? "dot outside" : "dot", cx: at(distance), cy: 11, r: 5 }));
}
