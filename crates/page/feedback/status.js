// What runs here: model, codebook, queue, jobs, and who is told of it.

import { announce, button, bytes, count, duration, el, number, pair, percent, put, several, trouble, when } from "./dom.js";
import { get, getText, post, readiness, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { chip, heading, table } from "./parts.js";

/** Milliseconds between two looks. */
const OFTEN = 4000;

/** The page; looks again until it is left. */
export async function showStatus(root, signal) {
  document.title = "Status · ReasonEdit";
  const cards = { model: el("div"), codebook: el("div"), queue: el("div") };
  const jobs = el("section", { class: "card", "aria-labelledby": "jobs-title" });
  const webhooks = el("section", { class: "card", "aria-labelledby": "webhooks-title", hidden: true },
    el("h2", { id: "webhooks-title", tabindex: -1 }, "Webhooks"), el("div"));
  const problem = el("div");
  put(root, heading("Status"), problem, el("div", { class: "three" },
    card("Model", cards.model), card("Codebook", cards.codebook), card("Queue", cards.queue)), jobs, webhooks);
  for (;;) {
    try {
      await look(cards, jobs, webhooks, signal);
      put(problem);
    } catch (error) {
      if (signal.aborted) return;
      put(problem, trouble(error));
    }
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, OFTEN);
      signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
    if (signal.aborted) return;
  }
}

function card(title, body) {
  return el("section", { class: "card" }, el("h2", {}, title), body);
}

async function look(cards, jobs, webhooks, signal) {
  const ready = await readiness();
  if (signal.aborted) return;
  put(cards.model, modelView(ready));
  if (ready.status === "loading") return;
  const [book, text, page, told] = await Promise.all([get("/codebook", {}, { signal }), getText("/metrics", signal),
    get("/jobs", { limit: 20 }, { signal, everywhere: true }), get("/webhooks", {}, { signal, everywhere: true })]);
  put(cards.codebook, codebookView(book));
  put(cards.queue, queueView(metrics(text)));
  // Whoever is about to press something must not lose it.
  if (!jobs.contains(document.activeElement)) jobsView(jobs, page.jobs);
  if (!webhooks.querySelector("button:focus")) webhooksView(webhooks, told.webhooks);
}

function modelView({ model }) {
  if (!model) return el("p", {}, chip("loading", "warn"), " Edits and questions are served when it is done.");
  return el("dl", { class: "facts-list" }, pair("Name", model.name), pair("Architecture", model.architecture), pair("Parameters", count(model.parameters)),
    pair("Runs on", `${model.device}, ${model.dtype}`), pair("Fingerprint", el("code", { class: "id", title: model.fingerprint }, `${model.fingerprint.slice(0, 16)}…`)));
}

function codebookView(book) {
  const saved = book.bytes_unmerged > 0 ? 1 - book.bytes_merged / book.bytes_unmerged : 0;
  return [el("dl", { class: "facts-list" }, pair("Name", book.name), pair("Edits", count(book.edits)), pair("Entries", `${count(book.members)} in ${several(book.keys, "key")}`),
    pair("Size", `${bytes(book.bytes_merged)}${saved > 0.0005 ? `, ${percent(saved)} saved by merging` : ""}`),
    pair("Limit", book.gate_threshold === null ? "–" : `distance ${number(book.gate_threshold)}`),
    pair("Embedding", book.embedding ? `${book.embedding.tap}, ${book.embedding.pooling}, λ = ${number(book.embedding.lambda)}` : "set by the first edit"))];
}

/** The service's figures by name; those with labels by `name{labels}`. */
function metrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const at = line.lastIndexOf(" ");
    found.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return found;
}

function queueView(figures) {
  const of = (name) => figures.get(`reasonedit_engine_${name}`) ?? 0;
  const hits = of("cache_hits_total") / Math.max(1, of("cache_hits_total") + of("cache_misses_total"));
  return el("dl", { class: "facts-list" }, pair("Waiting", `${count(of("queue_depth"))} of ${count(of("queue_capacity"))}`), pair("Being generated", several(of("generations"), "answer")),
    pair("Answered", count(of("answered_total"))), pair("Failed or refused", `${count(of("failed_total"))} / ${count(of("refused_total"))}`),
    pair("Busy", `${duration(of("busy_seconds_total") * 1000)} since the start`), pair("Cache", `${bytes(of("cache_bytes"))}, ${percent(hits)} hits`));
}

const STATES = { queued: "", running: "accent", done: "good", failed: "warn", cancelled: "soft" };
const WHAT = { modularity: "Choose layer and weight", reembed: "Make the keys anew", batch: "Make many edits", import: "Take in a codebook" };

function jobsView(root, jobs) {
  const rows = jobs.map((job) => {
    const { done, total, stage, remaining_ms: left } = job.progress;
    const running = job.state === "queued" || job.state === "running";
    const far = total ? `${count(done)} of ${count(total)}${stage ? ` (${stage})` : ""}` : stage || "–";
    return el("tr", {},
      el("td", {}, WHAT[job.kind] || job.kind), el("td", {}, job.codebook), el("td", {}, chip(job.state, STATES[job.state])),
      el("td", {}, far, running && left ? el("span", { class: "hint" }, ` about ${duration(left)} left`) : null, job.error ? el("p", { class: "hint" }, job.error.detail || job.error.title) : null),
      el("td", {}, when(job.created_at)),
      el("td", {}, running ? button("Cancel", () => cancel(job), { class: "quiet small", "aria-label": `Cancel ${WHAT[job.kind]}` })
        : job.kind === "modularity" && job.state === "done" ? el("a", { href: `#/topology?report=${job.id}` }, "report") : null));
  });
  const title = el("h2", { id: "jobs-title" }, "Jobs");
  put(root, title, rows.length > 0 ? table("Jobs, newest first", ["What", "Codebook", "State", "Progress", "Submitted", "", ], rows) : el("p", { class: "hint" }, "Nothing was done in the background yet."));
}

async function cancel(job) {
  if (!await confirm("Cancel this job?", "What it has done so far stays done.", "Cancel the job")) return;
  try {
    await remove(`/jobs/${job.id}`);
    announce("The job is cancelled.");
  } catch (error) {
    announce(error.message, true);
  }
}

const TELLING = { delivering: "good", failing: "warn", paused: "warn" };

function webhooksView(root, webhooks) {
  root.hidden = webhooks.length === 0;
  if (root.hidden) return;
  const rows = webhooks.map((hook) => {
    const failure = hook.last_failure && hook.state !== "delivering" ? el("p", { class: "hint" }, `${hook.last_failure.reason} (`, when(hook.last_failure.at), ")") : null;
    const again = { failing: "Try now", paused: "Resume" }[hook.state];
    return el("tr", {},
      el("td", {}, hook.name), el("td", {}, hook.host), el("td", {}, chip(hook.state, TELLING[hook.state]), failure),
      el("td", {}, several(hook.pending, "event")), el("td", {}, hook.last_delivered_at ? when(hook.last_delivered_at) : "–"),
      el("td", {}, again ? button(again, () => resume(hook, root), { class: "quiet small", "aria-label": `${again}: ${hook.name}` }) : null));
  });
  put(root.lastElementChild, table("Receivers of events", ["Name", "Host", "State", "Waiting", "Last taken", ""], rows));
}

async function resume(hook, root) {
  try {
    await post(`/webhooks/${hook.name}/resume`, undefined, { everywhere: true });
    announce(`${hook.name} is tried again.`);
    webhooksView(root, (await get("/webhooks", {}, { everywhere: true })).webhooks);
    // The button is gone; whoever pressed it reads on here.
    root.querySelector("h2").focus();
  } catch (error) {
    announce(error.message, true);
  }
}
