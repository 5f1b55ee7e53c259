//! The report for a person to read.

use std::fmt::Write as _;

use super::comparison::{write_paper, write_standing};
use super::in_front::write_in_front;
use super::protocols::{write_single, write_sizes};
use super::table::{NOTHING, cell, decimals, plain, signed, table, with_interval};
use super::tuning::write_tuning;
use super::{EvaluationReport, SequentialFigures};
use crate::editors::{REASONEDIT, UNEDITED};
use crate::estimate::Estimate;
use crate::named_values::NamedValues;
use crate::questions::Metric;

impl EvaluationReport {
    /// For a person to read: what was measured, how, and what came out. Refers to the pictures of
    /// [`Self::figures`].
    pub fn markdown(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = write_page(self, &mut page);
        page
    }

    /// A table for a terminal: an editor a row, a metric a column.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let head = std::iter::once("editor").chain(Metric::ALL.map(Metric::title));
        let head = head.chain(["false injection", "harmonic mean"]);
        let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        for (name, editor) in self.measured() {
            let mut row = vec![name.clone()];
            row.extend(Metric::ALL.map(|metric| plain(editor.metrics.right(metric))));
            row.push(plain(editor.false_injection));
            row.push(plain(editor.harmonic_mean.all));
            rows.push(row);
        }
        rows
    }
}

/// Whether any edit was tested with all of them live; else only the unedited model was asked everything.
fn all_at_once(report: &EvaluationReport) -> bool {
    report.measured().any(|(name, _)| name != UNEDITED)
}

fn write_page(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let from = &report.provenance;
    writeln!(page, "# What {} edits do to a model's answers\n", report.edits)?;
    writeln!(
        page,
        "Measured on {} with the model {}. {} records whose question the unedited model answers wrongly became edits{}. {} are answered by \
         choice: the answer is the one of the given choices to which the model gives the greatest probability.\n",
        cell(&from.data),
        cell(&from.model),
        report.edits,
        match report.right_before {
            0 => String::new(),
            right => format!("; {right} others that it answers rightly were passed over"),
        },
        if report.generated > 0 { "Questions that have choices" } else { "Questions" },
    )?;
    write_metrics(report, page)?;
    if report.measured().next().is_some() {
        write_static(report, page)?;
        write_standing(report, page)?;
        if all_at_once(report) {
            write_paper(report, page)?;
        }
        if all_at_once(report) {
            write_in_front(report, page)?;
        }
        write_costs(report, page)?;
        write_differences(report, page)?;
    }
    write_single(report, page)?;
    write_sizes(report, page)?;
    if !report.sequential.0.is_empty() {
        write_sequential(report, page)?;
    }
    if !report.noise.0.is_empty() {
        write_noise(report, page)?;
    }
    if !report.sensitivity.0.is_empty() {
        write_sensitivity(report, page)?;
    }
    write_tuning(report, page)?;
    write_editors(report, page)?;
    write_provenance(report, page)
}

fn write_metrics(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    writeln!(page, "## What is measured\n\nEach figure is the share of")?;
    writeln!(page)?;
    for metric in Metric::ALL {
        writeln!(page, "- **{}**: {}", metric.title(), metric.about())?;
    }
    writeln!(
        page,
        "\nBehind a figure stands its 95 % interval: {} resamples of the edits with all their questions (percentile bootstrap, seed {}). Where all \
         answers were alike it has no width, which says that resampling found nothing to vary, not that the figure is certain.",
        report.bootstrap.resamples, report.bootstrap.seed
    )?;
    if !report.lacking.is_empty() {
        let names: Vec<&str> = report.lacking.iter().map(|metric| metric.title()).collect();
        writeln!(
            page,
            "\n**The data have no questions for: {}.** Their columns are empty; nothing is known of them.",
            names.join(", ")
        )?;
    }
    if report.generated > 0 {
        writeln!(
            page,
            "\n{} questions have no choices: their answers are generated, and right if they are the expected ones but for case and outer marks.",
            report.generated
        )?;
    }
    if !report.provenance.notes.is_empty() {
        writeln!(page, "\nAbout the data and how they were asked:\n")?;
        for note in &report.provenance.notes {
            writeln!(page, "- {}", cell(note))?;
        }
    }
    if !report.perception.0.is_empty() {
        writeln!(page, "\nWhat the unedited model sees, as far as the data have probes of it:\n")?;
        let named = |name: &str| match name {
            "perception" => "plain questions about pictures".to_owned(),
            "verify_whole" => "whether a picture shows a statement".to_owned(),
            "verify_crop" => "whether a part of a picture shows a statement".to_owned(),
            other => other.to_owned(),
        };
        let head = ["right answers", "share", "of"].map(str::to_owned).to_vec();
        let rows = report
            .perception
            .0
            .iter()
            .map(|(name, figure)| vec![named(name), with_interval(*figure), figure.n.to_string()]);
        table(page, &std::iter::once(head).chain(rows).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn head_of_metrics() -> Vec<String> {
    std::iter::once("editor").chain(Metric::ALL.map(Metric::title)).map(str::to_owned).collect()
}

fn write_static(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    if all_at_once(report) {
        writeln!(page, "\n## All {} edits live at once\n", report.edits)?;
    } else {
        writeln!(page, "\n## Before any of the {} edits\n", report.edits)?;
    }
    let mut head = head_of_metrics();
    head.push("harmonic mean of all".to_owned());
    let mut rows = vec![head];
    for (name, editor) in report.measured() {
        let mut row = vec![name.clone()];
        row.extend(Metric::ALL.map(|metric| with_interval(editor.metrics.right(metric))));
        row.push(with_interval(editor.harmonic_mean.all));
        rows.push(row);
    }
    let mut row = vec!["questions".to_owned()];
    row.extend(Metric::ALL.map(|metric| {
        let most = report.measured().map(|(_, editor)| editor.metrics.right(metric).n).max();
        most.filter(|n| *n > 0).map_or_else(|| NOTHING.to_owned(), |n| n.to_string())
    }));
    row.push(String::new());
    rows.push(row);
    table(page, &rows)?;
    writeln!(page, "\n![Share of right answers by metric and editor](metrics.svg)")
}

fn write_costs(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    if !all_at_once(report) {
        return Ok(());
    }
    writeln!(
        page,
        "\n## What it costs\n\nKilobytes (1,000 bytes) of keys and sentences, or of weights, for an edit; medians of milliseconds. A question is asked \
         alone, on a picture that was looked at before. Seconds: everything that was done with the editor here, edits and questions of all protocols. \
         Megabytes (1,000,000 bytes): the most that the program held meanwhile, the model in it. Failed: edits that could not be made; their questions \
         count like any other's. {NOTHING}: nothing is kept, part of the work was taken over from another editor, or an earlier version measured it.\n"
    )?;
    let head = [
        "editor",
        "KB an edit",
        "KB unmerged",
        "ms an edit",
        "ms a question",
        "seconds in all",
        "MB at most",
        "failed edits",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, editor) in report.measured() {
        rows.push(vec![
            name.clone(),
            decimals(editor.kb_per_edit_merged, 1),
            decimals(editor.kb_per_edit_unmerged, 1),
            decimals(editor.edit_ms, 0),
            decimals(editor.query_ms, 1),
            decimals(editor.seconds, 0),
            decimals(editor.peak_mb, 0),
            editor.failed_edits.to_string(),
        ]);
    }
    table(page, &rows)?;
    writeln!(page, "\n![Cost of an edit against quality](cost.svg)")
}

fn write_differences(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let compared: Vec<_> =
        report.measured().filter(|(_, editor)| !editor.over_reasonedit.0.is_empty()).collect();
    if compared.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## Compared with {REASONEDIT}, question by question\n\nThe share of right answers less that of {REASONEDIT}; bold where the 95 % interval of \
         the paired difference leaves out 0.\n"
    )?;
    let mut rows = vec![head_of_metrics()];
    for (name, editor) in compared {
        let mut row = vec![name.clone()];
        row.extend(
            Metric::ALL
                .map(|metric| signed(editor.over_reasonedit.get(metric.name()).copied().unwrap_or_default())),
        );
        rows.push(row);
    }
    table(page, &rows)
}

fn write_sequential(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let (every, sample) = report.protocol.map_or((0, 0), |protocol| (protocol.every, protocol.sample));
    writeln!(
        page,
        "\n## One edit after another\n\nEvery {every} edits all questions of {sample} edits were asked, drawn from those made so far. Bands are 95 % \
         intervals.\n\n![Share of right answers over sequential edits](sequential.svg)\n\n![Harmonic mean over sequential edits](decay.svg)\n"
    )?;
    let mut rows = vec![
        std::iter::once("editor".to_owned())
            .chain(["edits".to_owned()])
            .chain(Metric::ALL.map(|metric| metric.title().to_owned()))
            .chain(["harmonic mean of all".to_owned()])
            .chain(["KB an edit", "ms an edit", "ms a question", "failed edits"].map(str::to_owned))
            .collect::<Vec<_>>(),
    ];
    for (name, course) in &report.sequential.0 {
        for test in &course.tests {
            let mut row = vec![name.clone(), test.edits.to_string()];
            row.extend(Metric::ALL.map(|metric| plain(test.metrics.right(metric))));
            row.push(plain(test.harmonic_mean.all));
            row.push(decimals(test.kb_per_edit_merged, 1));
            row.push(decimals(test.edit_ms, 0));
            row.push(decimals(test.query_ms, 1));
            row.push(test.failed_edits.to_string());
            rows.push(row);
        }
    }
    table(page, &rows)?;
    write_drift(&report.sequential, page)
}

fn write_drift(sequential: &NamedValues<SequentialFigures>, page: &mut String) -> std::fmt::Result {
    let drifts: Vec<_> =
        sequential.0.iter().filter_map(|(name, course)| Some((name, course.drift.as_ref()?))).collect();
    if drifts.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\nThe tests within the first 1,000 edits, those within the last 1,000, and the difference:\n"
    )?;
    let mut rows = vec![head_of_metrics()];
    for (name, drift) in drifts {
        let of = |part: &NamedValues<Estimate>, metric: Metric| {
            part.get(metric.name()).copied().unwrap_or_default()
        };
        let row = |label: &str, text: &dyn Fn(Metric) -> String| {
            let mut row = vec![format!("{name}, {label}")];
            row.extend(Metric::ALL.map(text));
            row
        };
        rows.push(row("first", &|metric| with_interval(of(&drift.first, metric))));
        rows.push(row("last", &|metric| with_interval(of(&drift.last, metric))));
        rows.push(row("difference", &|metric| match (
            of(&drift.first, metric).value,
            of(&drift.last, metric).value,
        ) {
            (Some(first), Some(last)) => format!("{:+.3}", last - first).replace('-', "−"),
            _ => NOTHING.to_owned(),
        }));
    }
    table(page, &rows)
}

fn write_noise(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## Noise in the reasoning\n\nFacts that have nothing to do with the picture stand in the place of a share of all statements (replace) or beside \
         them (add).\n\n![Share of right answers with noise in the reasoning](noise.svg)\n"
    )?;
    let mut head = head_of_metrics();
    head.insert(1, "noise".to_owned());
    let mut rows = vec![head];
    for (name, levels) in &report.noise.0 {
        for level in levels {
            let mut row = vec![name.clone(), format!("{} {} %", level.kind.name(), level.percent)];
            row.extend(Metric::ALL.map(|metric| plain(level.metrics.right(metric))));
            rows.push(row);
        }
    }
    table(page, &rows)
}

fn write_sensitivity(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## Settings of retrieval\n\nThe same edits, asked with another k (how many keys' sentences are put in front) or τ (the percentile beyond which \
         nothing is).\n\n![Share of right answers over k and τ](sensitivity.svg)\n"
    )?;
    let mut head = head_of_metrics();
    head.insert(1, "setting".to_owned());
    head.push("any sentence, unrelated".to_owned());
    let mut rows = vec![head];
    for (name, sweep) in &report.sensitivity.0 {
        for point in sweep {
            let mut row = vec![name.clone(), format!("{} = {}", point.setting.name(), point.value)];
            row.extend(Metric::ALL.map(|metric| plain(point.metrics.right(metric))));
            row.push(plain(point.false_injection));
            rows.push(row);
        }
    }
    table(page, &rows)
}

fn write_editors(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    writeln!(page, "\n## The editors\n")?;
    for (name, editor) in &report.editors.0 {
        let settings = if editor.settings.is_empty() {
            String::new()
        } else {
            format!(" Settings: {}.", editor.settings.describe())
        };
        writeln!(page, "- **{name}**: {}{settings}", editor.about)?;
    }
    writeln!(
        page,
        "\nEditors whose keys are made with the same settings share them, so that they differ in nothing but what they name; one whose keys are made \
         otherwise is given the boxes that {REASONEDIT} found. {UNEDITED} is asked once: what locality and contrast keep is what it answers rightly."
    )
}

fn write_provenance(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let from = &report.provenance;
    writeln!(page, "\n## How it was made\n\n```sh\n{}\n```\n", from.command)?;
    let rows = [
        ("program", format!("reasonedit {}", from.version)),
        ("git revision", from.git_revision.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("data", format!("{}, records with BLAKE3 `{}`", cell(&from.data), from.data_digest)),
        ("model", format!("{}, fingerprint `{}`", cell(&from.model), from.model_fingerprint)),
        ("sentence encoder", format!("fingerprint `{}`", from.encoder_fingerprint)),
        (
            "evidence",
            if report.given_boxes { "the records' own boxes" } else { "looked for by the editors" }
                .to_owned(),
        ),
        ("seeds", format!("{} for samples and noise, {} for intervals", report.seed, report.bootstrap.seed)),
    ];
    writeln!(page, "| | |\n| --- | --- |")?;
    for (name, text) in rows {
        writeln!(page, "| {name} | {text} |")?;
    }
    let configuration = serde_json::to_string_pretty(&from.configuration).unwrap_or_default();
    writeln!(page, "\nThe editor's configuration:\n\n```json\n{configuration}\n```")
}
