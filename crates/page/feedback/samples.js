// The demonstration model says what it is, and what can be tried with it.

import { button, el } from "./dom.js";
import { BASE } from "./api.js";
import { rich, t } from "./words.js";

/** The demonstration model reads English only, whatever the page speaks. */
const QUESTION = "What is this specimen called?";

/** What is said above the first page while the demonstration model answers; nothing with another model. `take` gets a file and a question. */
export function samples(take) {
  const names = (document.documentElement.dataset.samples || "").split(" ").filter(Boolean);
  if (names.length === 0) return null;
  const pictures = names.map((name, at) => {
    const path = `${BASE}/assets/samples/${name}`;
    const pressed = async () => {
      const response = await fetch(path);
      if (!response.ok) return;
      take(new File([await response.blob()], name), QUESTION);
    };
    return el("li", {}, button(el("img", { src: path, alt: t("demo.sample", { number: at + 1 }), width: "72", height: "72", loading: "lazy" }), pressed, { class: "quiet sample" }));
  });
  return el("section", { class: "card demo", "aria-label": t("demo.title") },
    el("p", {}, el("strong", {}, t("demo.title")), " ", rich("demo.text", { question: el("q", { lang: "en" }, QUESTION) })),
    el("ul", { class: "row", "aria-label": t("demo.samples") }, pictures));
}
