// Which layer embeds pictures and how much the text weighs: what is in use, measuring it, moving over, going back.

import { announce, button, el, field, pair, put, quoted, trouble, uid, when } from "./dom.js";
import { follow, get, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { chip, heading } from "./parts.js";
import { reportView } from "./report.js";
import { count, duration, entitle, knows, number, t } from "./words.js";

/** The page; `report` in the address names the one that is shown. */
export async function showTopology(root, params, signal) {
  entitle(t("nav.topology"));
  const parts = { active: section(t("topology.in-use")), running: el("div"), start: section(t("topology.measure")), report: el("div"), older: el("div") };
  put(root, heading(t("nav.topology")),
    el("p", { class: "lead" }, t("topology.lead")),
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
      else put(this.parts.report, el("p", { class: "none" }, el("strong", {}, t("topology.no-report")), " ", t("topology.no-report.hint")));
    } catch (error) {
      if (error.name !== "AbortError") put(this.parts.report, trouble(error));
    }
  }

  #active(active) {
    const { embedding, chosen, previous } = active;
    put(this.parts.active, this.parts.active.firstChild,
      el("dl", { class: "facts-list" }, pair(t("topology.layer"), el("strong", {}, embedding.tap), ` (${embedding.pooling})`), pair(t("topology.weight"), el("strong", {}, `λ = ${number(embedding.lambda)}`)),
        pair(t("topology.set-by"), t(chosen ? "topology.set-by.measurement" : "topology.set-by.configuration")),
        pair(t("topology.dimensions"), t("topology.dimensions.of", { picture: count(embedding.vision_dim), text: count(embedding.sentence_dim) })),
        embedding.pixels === "first" ? pair(t("topology.pixels"), t("topology.pixels.first")) : null, previous ? pair(t("topology.previous"), name(previous)) : null),
      embedding.pixels === "first" ? el("div", { class: "row" }, button(t("topology.renew"), () => this.#renew(), { class: "quiet" })) : null,
      previous ? el("div", { class: "row" }, button(t("topology.roll-back"), () => this.#rollBack(previous), { class: "quiet" })) : null);
  }

  #start(sources) {
    // What was typed stays when a job has ended.
    if (this.go) return;
    const source = el("select", {}, sources.map((one) => el("option", { value: one }, knows(`topology.source.${one}`) ? t(`topology.source.${one}`) : one)));
    const apply = el("select", {}, el("option", { value: "never", selected: true }, t("topology.then.never")), el("option", { value: "if_better" }, t("topology.then.if-better")), el("option", { value: "always" }, t("topology.then.always")));
    const samples = el("input", { type: "number", min: "2", max: "64", value: "20", required: true });
    const runs = el("input", { type: "number", min: "2", max: "100", value: "10", required: true });
    const problem = el("div");
    this.go = el("button", { type: "submit", class: "primary" }, t("topology.measure"));
    const form = el("form", {}, field(t("topology.on"), source), field(t("topology.then"), apply),
      el("div", { class: "two" }, field(t("topology.pairs"), samples), field(t("topology.runs"), runs)), problem, el("div", { class: "row end" }, this.go));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      put(problem);
      if (apply.value !== "never" && !await confirm(t("topology.move.title"), t("topology.move.later"), t("topology.measure"), false)) return;
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
  async #follow(job, moved = t("topology.moved")) {
    const bar = el("progress", { "aria-label": t("topology.progress"), max: "1" });
    const text = el("p", { class: "hint" }, t("stage.queued"));
    const stop = button(t("dialog.cancel"), async () => {
      stop.disabled = true;
      try {
        await remove(`/jobs/${job.id}`);
      } catch (error) {
        text.after(trouble(error));
      }
    }, { class: "quiet small" });
    const what = t(job.kind === "reembed" ? "topology.moving" : "topology.measuring");
    put(this.parts.running, el("section", { class: "card running", "aria-label": what }, el("div", { class: "row spread" }, el("h2", {}, what), stop), bar, text));
    announce(what);
    this.go.disabled = true;
    let stage = "";
    let last = job;
    try {
      for await (const at of follow(job.id, this.signal)) {
        last = at;
        const { done, total, remaining_ms: left } = at.progress;
        const at_stage = at.progress.stage || "queued";
        const label = knows(`stage.${at_stage}`) ? t(`stage.${at_stage}`) : at_stage;
        if (total) {
          bar.value = done / total;
          put(text, t("stage.far", { stage: label, done: count(done), total: count(total) }), left ? [" ", t("stage.left", { time: duration(left) })] : null);
        } else {
          bar.removeAttribute("value");
          put(text, label);
        }
        if (at_stage !== stage) announce(label);
        stage = at_stage;
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
    const chosen = job.result ? { tap: job.result.tap, weight: number(job.result.lambda) } : {};
    const said = job.state === "cancelled" ? t("topology.cancelled")
      : !done ? t("topology.failed")
        : job.kind === "reembed" ? moved
          : t(job.result.applied ? "topology.applied" : job.result.better ? "topology.measured" : "topology.measured.not-better", chosen);
    announce(said);
    put(this.parts.running, el("div", { class: done ? (changed ? "good" : "none") : "trouble" }, el("p", {}, said), job.error ? quoted(job.error.detail || job.error.title) : null));
    await this.load(job.kind === "modularity" && done ? job.id : null);
  }

  async #report(id, active) {
    const report = await get(`/modularity/${id}`, {}, { signal: this.signal, everywhere: true });
    const { tap, weight } = report.selection;
    const same = tap.chosen.tap === active.embedding.tap && tap.chosen.pooling === active.embedding.pooling && weight.chosen === active.embedding.lambda;
    const apply = same ? chip(t("topology.chosen"), "good") : button(t("topology.apply"), () => this.#apply(id, report), { class: "primary" });
    put(this.parts.report, reportView(id, report, apply, this.signal));
  }

  async #apply(id, report) {
    const { tap, weight } = report.selection;
    if (!await confirm(t("topology.move.title"), t("topology.move.text", { tap: tap.chosen.tap, weight: number(weight.chosen) }), t("topology.move"), false)) return;
    await this.#begin(`/modularity/${id}/apply`);
  }

  async #renew() {
    if (!await confirm(t("topology.renew.title"), t("topology.renew.text"), t("topology.move"), false)) return;
    await this.#begin("/modularity/reembed", t("topology.moved"));
  }

  async #rollBack(previous) {
    if (!await confirm(t("topology.roll-back.title"), t("topology.roll-back.text", { name: name(previous) }), t("topology.roll-back.go"), false)) return;
    await this.#begin("/modularity/rollback", t("topology.rolled-back"));
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
    put(this.parts.older, el("details", { class: "card" }, el("summary", {}, t("topology.reports", { n: reports.length })),
      el("ul", { class: "plain" }, reports.map((job) => el("li", {},
        el("a", { href: `#/topology?report=${job.id}`, "aria-current": (shown || state.report) === job.id ? "true" : null }, `${job.result.tap}, λ = ${number(job.result.lambda)}`), " ",
        job.result.applied ? chip(t("topology.chip.applied"), "good") : null, ` ${job.codebook}, `, when(job.ended_at))))));
  }
}
