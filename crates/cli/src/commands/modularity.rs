//! `modularity`: which layer and which weight of the text embed pictures and texts well.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use reasonedit_codebook::CodebookName;
use reasonedit_editor::{
    EmbeddingChoice, ModularityRequest, ModularityState, ModularityWatch, ReembedProgress, ReembedStage,
    SampleSet,
};
use reasonedit_topology::{Pooling, Report, figure};

use crate::args::{ApplyChoice, ModularityArgs};
use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sources::{self, WORLD};
use crate::{logging, output, service};

/// A bar for every stage.
#[derive(Default)]
struct Bars(Mutex<Option<(&'static str, Progress)>>);

impl Bars {
    fn set(&self, stage: &'static str, done: u64, total: u64) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bar.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            if let Some((_, ended)) = bar.take() {
                ended.finish();
            }
            *bar = Some((stage, Progress::items(stage, total)));
        }
        if let Some((_, progress)) = bar.as_mut() {
            progress.set(done, total);
        }
    }

    fn finish(&self) {
        if let Some((_, last)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            last.finish();
        }
    }
}

impl ModularityWatch for Bars {
    fn progress(&self, stage: &'static str, done: u64, total: u64) {
        self.set(stage, done, total);
    }
}

/// Measures, writes the report, and moves the codebook if told to.
///
/// # Errors
/// Wrong settings, too few samples, a model that can't be loaded, a folder that can't be written.
pub(crate) async fn run(args: &ModularityArgs) -> Result<()> {
    let settings = Settings::load(&args.settings)?;
    logging::start(&settings.log, true)?;
    let codebook: CodebookName =
        args.codebook.parse().map_err(|error| CliError::Usage(format!("--codebook: {error}")))?;
    let local = service::open(&settings).await?;
    let default = ModularityRequest::default();
    let request = ModularityRequest {
        samples: args.samples,
        runs: args.runs,
        weight_samples: args.weight_samples,
        weight_runs: args.weight_runs,
        mismatched: args.mismatched,
        taps: args.taps.clone(),
        seed: args.seed,
        ..default
    };
    let samples = samples(args, &local.editor, &codebook, &request)?;
    let bars = Bars::default();
    let measured = local
        .editor
        .measure_modularity(&codebook, &samples, &request, ModularityState::default(), &bars)
        .await;
    bars.finish();
    let report = measured.map_err(service::refused)?;
    if let Some(folder) = &args.out {
        write(&report, folder)?;
    }
    let apply = match args.apply {
        ApplyChoice::Never => false,
        ApplyChoice::IfBetter => report.is_better(),
        ApplyChoice::Always => true,
    };
    let apply = apply && local.editor.has_keys(&codebook).map_err(service::refused)?;
    if apply {
        let chosen = &report.selection;
        let choice = EmbeddingChoice {
            tap: chosen.tap.chosen.tap.clone(),
            pooling: match chosen.tap.chosen.pooling {
                Pooling::Mean => reasonedit_vlm::Pooling::Mean,
                Pooling::Last => reasonedit_vlm::Pooling::Last,
            },
            lambda: chosen.weight.chosen,
        };
        let told = |at: ReembedProgress| {
            let stage = match at.stage {
                ReembedStage::Embedding => "embedding",
                ReembedStage::Swapping => "swapping",
            };
            bars.set(stage, at.done as u64, at.total as u64);
        };
        let moved = local.editor.reembed(&codebook, &choice, told, std::future::pending()).await;
        bars.finish();
        moved.map_err(service::refused)?;
    }
    if args.json {
        return output::print_json(&report);
    }
    output::print(&report.markdown())?;
    if let Some(folder) = &args.out {
        output::note(&format!("report and figures: {}", folder.display()));
    }
    if apply {
        output::note(&format!("the codebook {codebook} is embedded so now"));
    }
    Ok(())
}

fn samples(
    args: &ModularityArgs,
    editor: &reasonedit_editor::Editor,
    codebook: &CodebookName,
    request: &ModularityRequest,
) -> Result<SampleSet> {
    let wanted = (request.samples * request.runs).max(request.weight_samples * request.weight_runs);
    match args.source.as_str() {
        "codebook" => editor.codebook_samples(codebook).map_err(service::refused),
        WORLD => sources::world(wanted, request.seed),
        folder => sources::folder(Path::new(folder), wanted),
    }
}

fn write(report: &Report, folder: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report).map_err(CliError::failed)?;
    let network = figure::network(report).map_err(CliError::failed)?;
    let files = [
        ("report.json", Some(json + "\n")),
        ("report.md", Some(report.markdown())),
        ("layers.svg", Some(figure::layers(report))),
        ("weights.svg", Some(figure::weights(report))),
        ("network.svg", network),
    ];
    std::fs::create_dir_all(folder).map_err(|error| CliError::file(folder, error))?;
    for (name, text) in files {
        if let Some(text) = text {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|error| CliError::file(&path, error))?;
        }
    }
    Ok(())
}
