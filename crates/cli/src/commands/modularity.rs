//! `modularity`: which layer and which weight of the text embed pictures and texts well.

use std::path::Path;

use reasonedit_codebook::CodebookName;
use reasonedit_editor::{
    EmbeddingChoice, ModularityRequest, ModularityState, ModularityWatch, ReembedProgress, SampleSet,
};
use reasonedit_topology::{ModularityReport, figure};

use crate::args::{ApplyChoice, ModularityArgs};
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::sources::{self, WORLD};
use crate::{logging, output, service};

impl ModularityWatch for Stages {
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
    let bars = Stages::default();
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
        let choice = EmbeddingChoice::from(&report.selection);
        let told = |at: ReembedProgress| bars.set(at.stage.name(), at.done as u64, at.total as u64);
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
    let wanted = request.samples_wanted();
    match args.source.as_str() {
        "codebook" => editor.codebook_samples(codebook).map_err(service::refused),
        WORLD => sources::world(wanted, request.seed),
        folder => sources::folder(Path::new(folder), wanted),
    }
}

fn write(report: &ModularityReport, folder: &Path) -> Result<()> {
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
