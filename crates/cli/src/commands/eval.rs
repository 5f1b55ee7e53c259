//! `eval`: what edits do to a model's answers, on native records.

use reasonedit_evaluation::{EvaluationError, QualityOptions, QualityReport, quality};

use crate::args::EvalArgs;
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{logging, output, service};

/// Makes the edits, asks everything that tests them, and prints the figures.
///
/// # Errors
/// Wrong settings, data that can't be read, a model that can't be loaded, an edit or query that fails.
pub(crate) async fn run(args: &EvalArgs) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    let settings = Settings::load_for_scratch(&args.settings, folder.path())?;
    logging::start(&settings.log, true)?;
    let local = service::open(&settings).await?;
    let options = QualityOptions {
        edits: args.edits,
        codebook: reasonedit_codebook::CodebookName::default(),
        given_boxes: args.given_boxes,
    };
    let bars = Stages::default();
    let told = |stage: &str, done: usize, all: usize| bars.set(stage, done as u64, all as u64);
    let report = quality(&local.editor, &args.data, &options, told).await;
    bars.finish();
    let report = report.map_err(|error| match error {
        EvaluationError::Editor(error) => service::refused(error),
        data @ EvaluationError::Data(_) => CliError::failed(data),
    })?;
    if args.json { output::print_json(&report) } else { output::print(&describe(&report)) }
}

fn describe(report: &QualityReport) -> String {
    let head = ["figure", "right", "of", "right edit retrieved"].map(str::to_owned).to_vec();
    let rows = report.figures.iter().map(|(name, figure)| {
        vec![
            name.clone(),
            format!("{:.3}", figure.value),
            figure.n.to_string(),
            figure.hit.map_or_else(|| "-".to_owned(), |hit| format!("{hit:.3}")),
        ]
    });
    format!(
        "{} edits live at once; {} records were right before and not edited\n{}",
        report.edits,
        report.right_before,
        output::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    )
}
