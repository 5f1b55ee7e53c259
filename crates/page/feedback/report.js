// A report on layers and weights: what it chose, the figures, and their numbers.

import { count, el, number, pair, trouble } from "./dom.js";
import { imageSource } from "./api.js";
import { chip, table } from "./parts.js";

const FIGURES = [
  ["layers", "Over the layers", "Modularities and biases of every layer of the model"],
  ["weights", "Over the weight", "Vision against language modularity under every weight of the text"],
  ["network", "The network", "Similarity network of a small draw under three weights"],
];

/** The report under an id; `action` stands beside what it chose. */
export function reportView(id, report, action) {
  const { tap, weight } = report.selection;
  const on = report.measured_on;
  return el("section", { class: "card report", "aria-labelledby": "report-title" },
    el("div", { class: "row spread" }, el("h2", { id: "report-title" }, "Report"), action),
    el("div", { class: "two" },
      el("dl", { class: "facts-list" },
        pair("Layer", el("strong", {}, `${tap.chosen.tap} (${tap.chosen.pooling})`), " ", ahead(tap)),
        pair("Bimodal modularity", plusMinus(tap.value)),
        pair("Weight", el("strong", {}, `λ = ${number(weight.chosen)}`), " ", ahead(weight)),
        pair("Harmonic mean", plusMinus(weight.value))),
      el("dl", { class: "facts-list" },
        pair("Measured on", `${on.source}, ${count(on.samples_available)} pairs`),
        pair("Layers", `${on.runs} runs of ${on.samples} pairs`), pair("Weights", `${on.weight_runs} runs of ${on.weight_samples} pairs`),
        report.in_use ? pair("In use then", `${report.in_use.tap} (${report.in_use.pooling}), λ = ${number(report.in_use.weight)}`) : null)),
    el("div", { class: "figures-grid" }, FIGURES.filter(([file]) => file !== "network" || report.network).map(([file, title, alt]) => figure(`/modularity/${id}/${file}.svg`, title, alt))),
    el("details", {}, el("summary", {}, "Every layer in numbers"), table("Layers, mean over the runs ± standard deviation", ["Layer", "Pooling", "Vision", "Language", "Bimodal", "Vision bias", "Language bias"],
      report.taps.map((one) => el("tr", { class: one.tap === tap.chosen.tap && one.pooling === tap.chosen.pooling ? "chosen" : "" },
        el("td", {}, one.tap), el("td", {}, one.pooling), statistics(one, "vision_modularity", "language_modularity", "bimodal_modularity", "vision_bias", "language_bias"))))),
    el("details", {}, el("summary", {}, "Every weight in numbers"), table("Weights, mean over the runs ± standard deviation", ["λ", "Vision", "Language", "Harmonic mean", "Bimodal"],
      report.weights.map((one) => el("tr", { class: one.weight === weight.chosen ? "chosen" : "" },
        el("td", {}, number(one.weight)), statistics(one, "vision_modularity", "language_modularity", "harmonic_mean", "bimodal_modularity"))))));
}

function plusMinus(value) {
  return `${number(value.mean)} ± ${number(value.standard_deviation, 2)}`;
}

function statistics(row, ...names) {
  return names.map((name) => el("td", {}, plusMinus(row[name])));
}

function ahead(choice) {
  const lead = choice.lead_over_incumbent;
  if (!choice.incumbent || !lead) return null;
  const same = JSON.stringify(choice.incumbent) === JSON.stringify(choice.chosen);
  if (same) return chip("as in use");
  return lead.exceeds_error ? chip("better by more than its error", "good") : chip("not better by more than its error", "soft");
}

function figure(path, title, alt) {
  const img = el("img", { alt, loading: "lazy" });
  const link = el("a", { target: "_blank" }, img);
  const root = el("figure", {}, link, el("figcaption", {}, title));
  imageSource(path).then((source) => { img.src = source; link.href = source; }).catch((error) => root.append(trouble(error)));
  return root;
}
