//! The editors against each other: the paper's table 1 with this report's rows, what was published beside it,
//! and in words where `ReasonEdit` is not ahead.

use std::fmt::Write as _;

use super::groups::is_own;
use super::published::{PublishedTable, published};
use super::table::{NOTHING, plain, table, with_interval};
use super::{EditorFigures, EvaluationReport};
use crate::editors::{REASONEDIT, is_ablation, is_bound};
use crate::questions::Metric;

/// Of table 1 the model that the report shows; the others stand in the description of the method.
const SHOWN: &str = "Qwen3-VL-4B";
/// Of CRANE's tables the model whose rows stand for editors that table 1 has not.
const SHOWN_OF_CRANE: &str = "Qwen2.5-VL";

/// The paper's table 1: its six figures in its order.
pub(super) fn write_paper(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let editors: Vec<&(String, EditorFigures)> =
        report.measured().filter(|(name, _)| !is_ablation(name)).collect();
    writeln!(
        page,
        "\n## The paper's table 1\n\nThe paper's six figures in its order, measured here. The harmonic mean of the six is near the least of them; \
         that of all takes hard locality and contrast in. Behind it stands its 95 % interval over resamples of the edits, each with all its \
         questions.\n"
    )?;
    let head = ["editor"].into_iter().chain(Metric::PAPER.map(Metric::title));
    let mut rows =
        vec![head.chain(["harmonic mean of the six", "of all"]).map(str::to_owned).collect::<Vec<_>>()];
    for (name, editor) in &editors {
        let mut row = vec![name.clone()];
        row.extend(Metric::PAPER.map(|metric| plain(editor.metrics.right(metric))));
        row.extend([with_interval(editor.harmonic_mean.paper), with_interval(editor.harmonic_mean.all)]);
        rows.push(row);
    }
    table(page, &rows)?;
    writeln!(page, "\n![Generality against what is kept](generality.svg)")?;
    write_published(page, &editors)
}

/// What was published of these editors.
fn write_published(page: &mut String, editors: &[&(String, EditorFigures)]) -> std::fmt::Result {
    let all = published();
    let has =
        |of: &&PublishedTable| of.rows.0.iter().any(|(name, _)| editors.iter().any(|(own, _)| own == name));
    let one: Vec<&PublishedTable> =
        all.iter().filter(|of| of.model == SHOWN && of.table.starts_with('1')).filter(has).collect();
    let Some(first) = one.first() else { return Ok(()) };
    let about = |of: &&PublishedTable| match of.edits {
        Some(edits) => format!("{} ({edits} edits)", of.data),
        None => of.data.clone(),
    };
    let data: Vec<String> = one.iter().map(about).collect();
    writeln!(
        page,
        "\n### What was published\n\n{}, table 1: {SHOWN} on {}. **Another model on other data: nothing here is comparable with a row above, \
         number by number; what can be compared is the order within each table.**\n",
        first.paper,
        data.join(" and ")
    )?;
    let mut head = vec!["editor".to_owned()];
    head.extend(
        one.iter().flat_map(|of| Metric::PAPER.map(|metric| format!("{}: {}", of.data, metric.title()))),
    );
    let mut rows = vec![head];
    for (name, _) in &first.rows.0 {
        let mut row = vec![name.clone()];
        for of in &one {
            row.extend(shares(of, name, 2));
        }
        rows.push(row);
    }
    table(page, &rows)?;
    let third = all.iter().find(|of| of.table == "III" && of.model == SHOWN_OF_CRANE);
    let Some(third) = third.filter(has) else { return Ok(()) };
    writeln!(
        page,
        "\n{}, table {}: {} on {} (answers generated and judged by another model; each edit alone):\n",
        third.paper, third.table, third.model, third.data
    )?;
    let mut rows = vec![std::iter::once("editor".to_owned()).chain(third.metrics.iter().cloned()).collect()];
    for (name, _) in &third.rows.0 {
        rows.push(std::iter::once(name.clone()).chain(shares(third, name, 3)).collect());
    }
    table(page, &rows)
}

fn shares(of: &PublishedTable, name: &str, decimals: usize) -> Vec<String> {
    let row = of.rows.get(name);
    let text = |at: usize| row.and_then(|row| row.get(at)).map(|share| format!("{share:.decimals$}"));
    (0..of.metrics.len()).map(|at| text(at).unwrap_or_else(|| NOTHING.to_owned())).collect()
}

/// Where `ReasonEdit` stands, in words that follow from the figures.
pub(super) fn write_standing(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let Some(own) = report.editors.get(REASONEDIT).filter(|own| !own.metrics.is_empty()) else {
        return Ok(());
    };
    let Some(mean) = own.harmonic_mean.all.value else { return Ok(()) };
    let others: Vec<&(String, EditorFigures)> =
        report.measured().filter(|(name, _)| !is_bound(name) && !is_own(name)).collect();
    if others.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n## Where {REASONEDIT} is ahead, and where not\n")?;
    let value = |editor: &EditorFigures| editor.harmonic_mean.all.value.unwrap_or_default();
    let mut ranked = others.clone();
    ranked.sort_by(|a, b| value(&b.1).total_cmp(&value(&a.1)));
    let named = |(name, editor): &(String, EditorFigures)| {
        format!("{name} ({})", with_interval(editor.harmonic_mean.all))
    };
    let ahead: Vec<String> =
        ranked.iter().take_while(|(_, editor)| value(editor) >= mean).map(|one| named(one)).collect();
    if ahead.is_empty() {
        let next = ranked[0];
        let apart = own.harmonic_mean.all.low > next.1.harmonic_mean.all.high;
        writeln!(
            page,
            "On the harmonic mean of all figures {REASONEDIT} ({}) is ahead of each of the {} other editors; the next is {}, {}.",
            with_interval(own.harmonic_mean.all),
            others.len(),
            named(next),
            if apart { "and their intervals lie apart" } else { "but their intervals overlap" }
        )?;
    } else {
        writeln!(
            page,
            "**On the harmonic mean of all figures {REASONEDIT} ({}) is not ahead of {}.**",
            with_interval(own.harmonic_mean.all),
            ahead.join(", ")
        )?;
    }
    let mut behind = Vec::new();
    for metric in Metric::ALL {
        let Some(own) = own.metrics.right(metric).value else { continue };
        let mut better: Vec<(f64, &str)> = others
            .iter()
            .filter_map(|(name, editor)| Some((editor.metrics.right(metric).value?, name.as_str())))
            .filter(|(value, _)| *value > own)
            .collect();
        better.sort_by(|a, b| b.0.total_cmp(&a.0));
        if let Some((value, name)) = better.first() {
            let more = match better.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            behind.push(format!("- **{}**: {own:.3} against {value:.3} of {name}{more}", metric.title()));
        }
    }
    if behind.is_empty() {
        writeln!(page, "\nIn no single figure is another editor ahead of it.")
    } else {
        writeln!(page, "\nIn single figures others are ahead of it:\n\n{}", behind.join("\n"))
    }
}
