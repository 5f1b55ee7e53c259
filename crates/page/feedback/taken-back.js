// Corrections that were taken back on this page, while it is open: they can be made again. Nothing of them is kept in the browser.

import { post } from "./api.js";

const taken = [];

/** Remembers one, the newest first. */
export function remember(edit, codebook) {
  taken.unshift({ edit, codebook, at: new Date().toISOString() });
}

/** Those of a collection. */
export function takenBack(codebook) {
  return taken.filter((one) => one.codebook === codebook);
}

/** Makes one again, as it was made: with what was drawn by hand, while the model looks anew for the rest. Gives the new one. */
export async function makeAgain(one) {
  const { edit } = one;
  const reasoning = edit.reasoning.map(({ statement, evidence }) => {
    const drawn = evidence.filter((area) => area.source === "user").map(({ x, y, width, height }) => ({ x, y, width, height }));
    return drawn.length > 0 ? { statement, evidence: drawn } : { statement };
  });
  const body = { image: { id: edit.image.id }, question: edit.question, answer: edit.answer, reasoning, metadata: edit.metadata, tags: edit.tags };
  if (edit.choices.length > 0) body.choices = edit.choices;
  if (edit.author) body.author = edit.author;
  const made = await post("/edits", body);
  taken.splice(taken.indexOf(one), 1);
  if (made.status === "proposed") document.dispatchEvent(new Event("proposed"));
  return made;
}
