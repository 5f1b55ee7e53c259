// Which layer embeds pictures and how much the text weighs: what is in use, measuring it, moving over, going back.

import { announce, button, count, duration, el, field, number, pair, put, trouble, uid, when } from "./dom.js";
import { follow, get, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { chip, heading } from "./parts.js";
import { reportView } from "./report.js";

const STAGES = { embedding: "Embedding", layers: "Measuring layers", taps: "Measuring layers", weights: "Measuring weights", swapping: "Changing over", queued: "Waiting" };

/** The page; `report` in the address names the one that is shown. */
export async function showTopology(root, params, signal) {
  document.title = "Topology · ReasonEdit";
  const parts = { active: section("In use"), running: el("div"), start: section("Measure"), report: el("div"), older: el("div") };
  put(root, heading("Topology"),
    el("p", { class: "lead" }, "Which layer embeds a picture, and how much the question weighs beside it, decides what is found again. Both can be measured, and the codebook moved over while it goes on serving."),
    el("div", { class: "two" }, parts.active, parts.start), parts.running, parts.report, parts.older);
  const page = new Topology(parts, signal);
  await page.load(params.get("report"));
}

function section(title) {
  const id = uid("section");
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title));
}

/** `vision.3, mean, λ = 5`. */
function name(embedding) {
  return `${embedding.tap}, ${embedding.pooling}, λ = ${number(embedding.lambda)}`;
}

class Topology {
  constructor(parts, signal) {
    Object.assign(this, { parts, signal });
  }

  async load(report) {
    try {
      const [state, jobs] = await Promise.all([get("/modularity", {}, { signal: this.signal }), get("/jobs", { limit: 100 }, { signal: this.signal, everywhere: true })]);
      this.#active(state.active);
      this.#start(state.sources);
      this.#older(jobs.jobs, state, report);
      const running = jobs.jobs.find((job) => ["modularity", "reembed"].includes(job.kind) && ["queued", "running"].includes(job.state));
      if (running) this.#follow(running);
      const id = report || state.report;
      if (id) await this.#report(id, state.active);
      else put(this.parts.report, el("p", { class: "none" }, el("strong", {}, "No report yet."), " Measure, to see how well each layer and each weight keeps pictures and texts apart."));
    } catch (error) {
      if (error.name !== "AbortError") put(this.parts.report, trouble(error));
    }
  }

  #active(active) {
    const { embedding, chosen, previous } = active;
    put(this.parts.active, this.parts.active.firstChild,
      el("dl", { class: "facts-list" }, pair("Layer", el("strong", {}, embedding.tap), ` (${embedding.pooling})`), pair("Weight of the text", el("strong", {}, `λ = ${number(embedding.lambda)}`)),
        pair("Set by", chosen ? "a measurement, for this codebook" : "the configuration"), pair("Dimensions", `${count(embedding.vision_dim)} of the picture, ${count(embedding.sentence_dim)} of the text`),
        embedding.pixels === "first" ? pair("Pixels", "read as the first releases did") : null, previous ? pair("Before", name(previous)) : null),
      embedding.pixels === "first" ? el("div", { class: "row" }, button("Read pixels as today…", () => this.#renew(), { class: "quiet" })) : null,
      previous ? el("div", { class: "row" }, button("Roll back…", () => this.#rollBack(previous), { class: "quiet" })) : null);
  }

  #start(sources) {
    // What was typed stays when a job has ended.
    if (this.go) return;
    const words = { codebook: "this codebook's own pictures and questions", world: "the demo world" };
    const source = el("select", {}, sources.map((one) => el("option", { value: one }, words[one] || one)));
    const apply = el("select", {}, el("option", { value: "never" }, "report only"), el("option", { value: "if_better", selected: true }, "move over if it is better by more than its error"), el("option", { value: "always" }, "move over in any case"));
    const samples = el("input", { type: "number", min: "2", max: "64", value: "20", required: true });
    const runs = el("input", { type: "number", min: "2", max: "100", value: "10", required: true });
    const problem = el("div");
    this.go = el("button", { type: "submit", class: "primary" }, "Measure");
    const form = el("form", {}, field("On", source), field("Then", apply),
      el("div", { class: "two" }, field("Pairs in a run", samples), field("Runs", runs)), problem, el("div", { class: "row end" }, this.go));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      put(problem);
      this.go.disabled = true;
      try {
        const body = { source: source.value, apply: apply.value, samples: samples.valueAsNumber, runs: runs.valueAsNumber };
        this.#follow(await post("/modularity", body));
      } catch (error) {
        put(problem, trouble(error));
        this.go.disabled = false;
      }
    });
    put(this.parts.start, this.parts.start.firstChild, form);
  }

  /** Shows how far a job is until it ends, then what came of it. */
  async #follow(job, moved = "The codebook has moved over.") {
    const bar = el("progress", { "aria-label": "Progress", max: "1" });
    const text = el("p", { class: "hint" }, "Waiting for its turn.");
    const stop = button("Cancel", async () => {
      stop.disabled = true;
      try {
        await remove(`/jobs/${job.id}`);
      } catch (error) {
        text.after(trouble(error));
      }
    }, { class: "quiet small" });
    const what = job.kind === "reembed" ? "Moving the codebook over" : "Measuring layers and weights";
    put(this.parts.running, el("section", { class: "card running", "aria-label": what }, el("div", { class: "row spread" }, el("h2", {}, what), stop), bar, text));
    announce(`${what}.`);
    this.go.disabled = true;
    let stage = "";
    let last = job;
    try {
      for await (const at of follow(job.id, this.signal)) {
        last = at;
        const { done, total, remaining_ms: left } = at.progress;
        const label = STAGES[at.progress.stage] || at.progress.stage || "Waiting";
        if (total) {
          bar.value = done / total;
          put(text, `${label}: ${count(done)} of ${count(total)}${left ? `, about ${duration(left)} left` : ""}`);
        } else {
          bar.removeAttribute("value");
          put(text, label);
        }
        if (label !== stage) announce(`${label}.`);
        stage = label;
      }
      this.#ended(last, moved);
    } catch (error) {
      if (error.name !== "AbortError") put(text, trouble(error));
    }
  }

  async #ended(job, moved) {
    this.go.disabled = false;
    const done = job.state === "done";
    const changed = job.kind === "reembed" || job.result?.applied;
    const said = job.state === "cancelled" ? "Cancelled. The keys are what they were."
      : !done ? `It failed: ${job.error?.detail || job.error?.title || "no reason was given"}`
        : job.kind === "reembed" ? moved
          : job.result.applied ? `Measured, and moved over to ${job.result.tap}, λ = ${number(job.result.lambda)}.`
            : `Measured: ${job.result.tap}, λ = ${number(job.result.lambda)} comes out first${job.result.better ? "" : ", but not by more than its error"}. Nothing was changed.`;
    announce(said);
    put(this.parts.running, el("p", { class: done ? (changed ? "good" : "none") : "trouble" }, said));
    await this.load(job.kind === "modularity" && done ? job.id : null);
  }

  async #report(id, active) {
    const report = await get(`/modularity/${id}`, {}, { signal: this.signal, everywhere: true });
    const { tap, weight } = report.selection;
    const same = tap.chosen.tap === active.embedding.tap && tap.chosen.pooling === active.embedding.pooling && weight.chosen === active.embedding.lambda;
    const apply = same ? chip("in use", "good") : button("Apply…", () => this.#apply(id, report), { class: "primary" });
    put(this.parts.report, reportView(id, report, apply, this.signal));
  }

  async #apply(id, report) {
    const { tap, weight } = report.selection;
    if (!await confirm("Move the codebook over?", `Every key is made anew with ${tap.chosen.tap}, λ = ${number(weight.chosen)}, beside the live ones, then they are swapped in at once. Questions and edits go on meanwhile. You can roll back.`, "Move over", false)) return;
    await this.#begin(`/modularity/${id}/apply`);
  }

  async #renew() {
    if (!await confirm("Read pixels as today?", "Pictures of more than 8 bits, and transparent ones, are read by today's rules. Every key is made anew with the same layer and weight beside the live ones, then they are swapped in at once. You can roll back.", "Move over", false)) return;
    await this.#begin("/modularity/reembed", "The codebook has moved over.");
  }

  async #rollBack(previous) {
    if (!await confirm("Roll back?", `The codebook goes back to ${name(previous)}, with the edits made since.`, "Roll back", false)) return;
    await this.#begin("/modularity/rollback", "The codebook has gone back.");
  }

  async #begin(path, said) {
    try {
      this.#follow(await post(path), said);
      this.parts.running.scrollIntoView({ block: "nearest" });
    } catch (error) {
      put(this.parts.running, trouble(error));
    }
  }

  #older(jobs, state, shown) {
    const reports = jobs.filter((job) => job.kind === "modularity" && job.state === "done");
    if (reports.length < 2) {
      put(this.parts.older);
      return;
    }
    put(this.parts.older, el("details", { class: "card" }, el("summary", {}, `${count(reports.length)} reports`),
      el("ul", { class: "plain" }, reports.map((job) => el("li", {},
        el("a", { href: `#/topology?report=${job.id}`, "aria-current": (shown || state.report) === job.id ? "true" : null }, `${job.result.tap}, λ = ${number(job.result.lambda)}`), " ",
        job.result.applied ? chip("applied", "good") : null, ` ${job.codebook}, `, when(job.ended_at))))));
  }
}
