// What runs here: model, codebook, queue, jobs, and who is told of it.

import { announce, button, el, pair, put, quoted, trouble, when } from "./dom.js";
import { get, getText, post, readiness, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { isExpert } from "./frame.js";
import { chip, heading, table } from "./parts.js";
import { bytes, count, duration, entitle, knows, number, percent, t } from "./words.js";

/** Milliseconds between two looks. */
const OFTEN = 4000;

/** The page; looks again until it is left. */
export async function showStatus(root, signal) {
  entitle(t("nav.status"));
  const cards = { model: el("div"), codebook: el("div"), queue: el("div") };
  const jobs = el("section", { class: "card", "aria-labelledby": "jobs-title" });
  const webhooks = el("section", { class: "card", "aria-labelledby": "webhooks-title", hidden: true },
    el("h2", { id: "webhooks-title", tabindex: -1 }, t("webhooks.title")), el("div"));
  const problem = el("div");
  put(root, heading(t("nav.status")), problem, el("div", { class: "three" },
    card(t("status.model"), cards.model), card(t(isExpert() ? "menu.codebook.expert" : "menu.codebook"), cards.codebook), card(t("status.queue"), cards.queue)), jobs, webhooks);
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
  if (!model) return el("p", {}, chip(t("ready.loading"), "warn"), " ", t("banner.loading"));
  return el("dl", { class: "facts-list" }, pair(t("status.name"), model.name), isExpert() ? [pair(t("status.architecture"), model.architecture), pair(t("status.parameters"), count(model.parameters)),
    pair(t("status.device"), `${model.device}, ${model.dtype}`), pair(t("status.fingerprint"), el("code", { class: "id", title: model.fingerprint }, `${model.fingerprint.slice(0, 16)}…`))] : null);
}

function codebookView(book) {
  const saved = book.bytes_unmerged > 0 ? 1 - book.bytes_merged / book.bytes_unmerged : 0;
  const common = [pair(t("status.name"), book.name), pair(t("nav.edits"), count(book.edits))];
  return el("dl", { class: "facts-list" }, common, isExpert() ? [
    pair(t("status.entries"), t("status.entries.in", { entries: count(book.members), n: book.keys })),
    pair(t("status.size"), bytes(book.bytes_merged), saved > 0.0005 ? [", ", t("status.saved", { share: percent(saved) })] : null),
    pair(t("status.limit"), book.gate_threshold === null ? "–" : t("why.distance", { distance: number(book.gate_threshold) })),
    pair(t("status.embedding"), book.embedding ? `${book.embedding.tap}, ${book.embedding.pooling}, λ = ${number(book.embedding.lambda)}` : t("status.embedding.none"))] : null);
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
  return el("dl", { class: "facts-list" }, pair(t("status.waiting"), t("status.waiting.of", { n: of("queue_depth"), most: count(of("queue_capacity")) })),
    pair(t("status.answered"), count(of("answered_total"))), pair(t("status.refused"), `${count(of("failed_total"))} / ${count(of("refused_total"))}`),
    isExpert() ? [pair(t("status.generating"), count(of("generations"))), pair(t("status.busy"), t("status.busy.since", { time: duration(of("busy_seconds_total") * 1000) })),
      pair(t("status.cache"), t("status.cache.hits", { size: bytes(of("cache_bytes")), share: percent(hits) }))] : null);
}

const STATES = { queued: "", running: "accent", done: "good", failed: "warn", cancelled: "soft" };

/** Jobs that change how corrections are found again: experts' acts. */
const METHOD = ["modularity", "reembed"];

/** What a job does, in words where there are some. */
function what(job) {
  return knows(`job.${job.kind}`) ? t(`job.${job.kind}`) : job.kind;
}

function jobsView(root, jobs) {
  const rows = jobs.filter((job) => isExpert() || !METHOD.includes(job.kind)).map((job) => {
    const { done, total, stage, remaining_ms: left } = job.progress;
    const running = job.state === "queued" || job.state === "running";
    const named = stage && knows(`stage.${stage}`) ? t(`stage.${stage}`) : stage;
    const far = total ? t("stage.far", { stage: named || t("job.progress"), done: count(done), total: count(total) }) : named || "–";
    return el("tr", {},
      el("td", {}, what(job)), el("td", {}, job.codebook), el("td", {}, chip(t(`job.state.${job.state}`), STATES[job.state])),
      el("td", {}, far, running && left ? el("span", { class: "hint" }, " ", t("stage.left", { time: duration(left) })) : null, job.error ? quoted(job.error.detail || job.error.title) : null),
      el("td", {}, when(job.created_at)),
      el("td", {}, running ? button(t("dialog.cancel"), () => cancel(job), { class: "quiet small", "aria-label": t("job.cancel.one", { what: what(job) }) })
        : job.kind === "modularity" && job.state === "done" && isExpert() ? el("a", { href: `#/topology?report=${job.id}` }, t("job.report")) : null));
  });
  const title = el("h2", { id: "jobs-title" }, t("jobs.title"));
  const head = [t("jobs.what"), t("menu.codebook"), t("jobs.state"), t("job.progress"), t("jobs.at"), null];
  put(root, title, rows.length > 0 ? table(t("jobs.table"), head, rows) : el("p", { class: "hint" }, t("jobs.none")));
}

async function cancel(job) {
  if (!await confirm(t("job.cancel.title"), t("job.cancel.text"), t("job.cancel"))) return;
  try {
    await remove(`/jobs/${job.id}`);
    announce(t("job.cancelled"));
  } catch (error) {
    trouble(error);
  }
}

const TELLING = { delivering: "good", failing: "warn", paused: "warn" };

function webhooksView(root, webhooks) {
  root.hidden = webhooks.length === 0 || !isExpert();
  if (root.hidden) return;
  const rows = webhooks.map((hook) => {
    const failure = hook.last_failure && hook.state !== "delivering" ? el("div", { class: "hint" }, quoted(hook.last_failure.reason), when(hook.last_failure.at)) : null;
    const again = { failing: "webhooks.try", paused: "webhooks.resume" }[hook.state];
    return el("tr", {},
      el("td", {}, hook.name), el("td", {}, hook.host), el("td", {}, chip(t(`webhooks.state.${hook.state}`), TELLING[hook.state]), failure),
      el("td", {}, t("webhooks.events", { n: hook.pending })), el("td", {}, hook.last_delivered_at ? when(hook.last_delivered_at) : "–"),
      el("td", {}, again ? button(t(again), () => resume(hook, root), { class: "quiet small", "aria-label": t(`${again}.one`, { name: hook.name }) }) : null));
  });
  put(root.lastElementChild, table(t("webhooks.table"), [t("status.name"), t("webhooks.host"), t("jobs.state"), t("status.waiting"), t("webhooks.last"), null], rows));
}

async function resume(hook, root) {
  try {
    await post(`/webhooks/${hook.name}/resume`, undefined, { everywhere: true });
    announce(t("webhooks.tried", { name: hook.name }));
    webhooksView(root, (await get("/webhooks", {}, { everywhere: true })).webhooks);
    // The button is gone; whoever pressed it reads on here.
    root.querySelector("h2").focus();
  } catch (error) {
    trouble(error);
  }
}
