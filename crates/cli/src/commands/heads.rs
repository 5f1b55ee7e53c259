//! `heads`: trains the head that tells what bears on a question.

use std::io::Write;
use std::sync::Arc;

use reasonedit_dataset::Dataset;
use reasonedit_heads::{Examples, HeadReport, HeadSettings, embed, train};
use reasonedit_resilience::blocking;
use serde_json::json;

use super::eval::data_folder;
use super::unfinished_file::UnfinishedFile;
use crate::args::{HeadsArgs, HeadsCommand, TrainHeadArgs};
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{logging, output, service};

/// Does what was asked for.
///
/// # Errors
/// Wrong options, records that can't be read or say nothing, an encoder that can't be loaded, a file that
/// can't be written.
pub(crate) async fn run(args: &HeadsArgs) -> Result<()> {
    match &args.command {
        HeadsCommand::Train(args) => train_head(args).await,
    }
}

async fn train_head(args: &TrainHeadArgs) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    let settings = Settings::load_for_scratch(&args.settings, scratch.path())?;
    logging::start(&settings.log, true)?;
    let file = UnfinishedFile::create(&args.out)?;
    let mut records = Vec::new();
    for (at, data) in args.data.iter().enumerate() {
        let folder = data_folder("--data", data, &scratch.path().join(at.to_string()))?;
        records.extend(Dataset::open(&folder).map_err(CliError::failed)?.records);
    }
    let examples = Examples::of(&records);
    let engine = service::another_engine(&settings).await?;
    let encoder = engine.sentence_info().await.map_err(CliError::failed)?;
    let bars = Arc::new(Stages::default());
    let texts = examples.texts().len();
    let embedded = |done: usize| bars.set("texts", done as u64, texts as u64);
    let embeddings = embed(&engine, &examples, embedded).await.map_err(CliError::failed)?;
    engine.shutdown().await;
    let chosen =
        HeadSettings { steps: args.steps, share: args.share, seed: args.seed, ..HeadSettings::default() };
    let steps = Arc::clone(&bars);
    let trained = blocking(move || {
        let told = |step: usize| steps.set("head: training", step as u64, chosen.steps as u64);
        train(&examples, &embeddings, &encoder.fingerprint, &chosen, told).map_err(CliError::failed)
    });
    let trained = trained.await;
    bars.finish();
    let (head, report) = trained?;
    let bytes = head.to_bytes().map_err(CliError::Failed)?;
    file.open()?.write_all(&bytes).map_err(|error| CliError::file(&args.out, error))?;
    file.keep()?;
    if args.json {
        output::print_json(&json!({ "head": args.out, "settings": chosen, "report": report }))
    } else {
        output::print(&told(&report, args))
    }
}

fn told(report: &HeadReport, args: &TrainHeadArgs) -> String {
    let HeadReport {
        questions,
        edits_found,
        edits_found_by_encoder,
        statements_found,
        statements_found_by_encoder,
        statement_threshold,
        unrelated,
        loss,
    } = report;
    format!(
        "Of {questions} questions that were held out, so many come nearer to what bears on them than all but {} of the \
         unrelated ones come to anything else:\n\n\
         | | head | sentence encoder alone |\n| --- | ---: | ---: |\n\
         | edits' questions | {edits_found:.3} | {edits_found_by_encoder:.3} |\n\
         | statements | {statements_found:.3} | {statements_found_by_encoder:.3} |\n\n\
         Last loss {loss:.3}. Statements count above {statement_threshold:.3}; {unrelated} unrelated questions are kept \
         for calibration.\nWritten to {}\n",
        args.share,
        args.out.display()
    )
}
