// A report on layers and weights: what it chose, the figures, and their numbers.

import { el, pair, trouble } from "./dom.js";
import { imageSource } from "./api.js";
import { chip, table } from "./parts.js";
import { count, number, t } from "./words.js";

const FIGURES = ["layers", "weights", "network"];

/** The report under an id; `action` stands beside what it chose. */
export function reportView(id, report, action) {
  const { tap, weight } = report.selection;
  const on = report.measured_on;
  return el("section", { class: "card report", "aria-labelledby": "report-title" },
    el("div", { class: "row spread" }, el("h2", { id: "report-title" }, t("report.title")), action),
    el("div", { class: "two" },
      el("dl", { class: "facts-list" },
        pair(t("topology.layer"), el("strong", {}, `${tap.chosen.tap} (${tap.chosen.pooling})`), " ", ahead(tap)),
        pair(t("report.modularity"), plusMinus(tap.value)),
        pair(t("report.weight"), el("strong", {}, `λ = ${number(weight.chosen)}`), " ", ahead(weight)),
        pair(t("report.harmonic"), plusMinus(weight.value))),
      el("dl", { class: "facts-list" },
        pair(t("report.on"), t("report.pairs", { source: on.source, n: on.samples_available })),
        pair(t("report.layers"), t("report.runs", { n: on.runs, pairs: count(on.samples) })), pair(t("report.weights"), t("report.runs", { n: on.weight_runs, pairs: count(on.weight_samples) })),
        report.in_use ? pair(t("report.then"), `${report.in_use.tap} (${report.in_use.pooling}), λ = ${number(report.in_use.weight)}`) : null)),
    el("div", { class: "figures-grid" }, FIGURES.filter((file) => file !== "network" || report.network).map((file) => figure(`/modularity/${id}/${file}.svg`, t(`report.figure.${file}`), t(`report.figure.${file}.alt`)))),
    el("details", {}, el("summary", {}, t("report.every-layer")), table(t("report.table.layers"), ["layer", "pooling", "vision", "language", "bimodal", "vision-bias", "language-bias"].map((name) => t(`report.head.${name}`)),
      report.taps.map((one) => el("tr", { class: one.tap === tap.chosen.tap && one.pooling === tap.chosen.pooling ? "chosen" : "" },
        el("td", {}, one.tap), el("td", {}, one.pooling), statistics(one, "vision_modularity", "language_modularity", "bimodal_modularity", "vision_bias", "language_bias"))))),
    el("details", {}, el("summary", {}, t("report.every-weight")), table(t("report.table.weights"), ["weight", "vision", "language", "harmonic", "bimodal"].map((name) => t(`report.head.${name}`)),
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
  if (same) return chip(t("report.as-in-use"));
  return lead.exceeds_error ? chip(t("report.better"), "good") : chip(t("report.not-better"), "soft");
}

function figure(path, title, alt) {
  const img = el("img", { alt, loading: "lazy" });
  const link = el("a", { target: "_blank" }, img);
  const root = el("figure", {}, link, el("figcaption", {}, title));
  imageSource(path).then((source) => { img.src = source; link.href = source; }).catch((error) => root.append(trouble(error)));
  return root;
}
