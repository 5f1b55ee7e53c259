//! `models`: which are known, what one is, fetching it, and checking it against reference outputs.

use std::path::Path;

use reasonedit_models::check::CheckReport;
use reasonedit_models::load::{load_sentence_encoder_with_progress, load_with_progress};
use reasonedit_models::{ARCHITECTURES, BlockType, LoadOptions, WeightType, is_hub_id};
use serde_json::json;

use crate::args::{CommonArgs, ModelsArgs, ModelsCommand, SettingsArgs};
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{logging, output, service};

/// Does what was asked for.
///
/// # Errors
/// A model that can't be found, fetched or loaded; outputs that differ from the reference.
pub(crate) async fn run(args: &ModelsArgs) -> Result<()> {
    match args.command.clone() {
        ModelsCommand::List { json } => list(json),
        ModelsCommand::Show { source, json, settings } => {
            crate::blocking(move || show(source, json, settings)).await
        }
        ModelsCommand::Pull { id, revision } => crate::blocking(move || pull(&id, revision)).await,
        ModelsCommand::Check { folder, json } => crate::blocking(move || check(&folder, json)).await,
    }
}

/// Weights alone: a service needs some more for pictures, caches and the sentence encoder.
fn list(as_json: bool) -> Result<()> {
    let known = ARCHITECTURES.iter().flat_map(|a| a.known.iter().map(move |model| (a, model)));
    if as_json {
        let models: Vec<_> = known
            .map(|(architecture, model)| {
                json!({
                    "id": model.id, "architecture": architecture.model_type, "pictures": architecture.pictures,
                    "parameters": model.parameters,
                    "weights_bytes": {
                        "f32": model.bytes(32), "bf16": model.bytes(16),
                        "q8_0": model.quantised_bytes(BlockType::Q8_0), "q4_k": model.quantised_bytes(BlockType::Q4K),
                    },
                })
            })
            .collect();
        return output::print_json(&models);
    }
    let head = ["model", "architecture", "reads", "parameters", "f32", "bf16, f16", "q8_0", "q4_k"];
    let rows = known.map(|(architecture, model)| {
        vec![
            model.id.to_owned(),
            architecture.model_type.to_owned(),
            if architecture.pictures { "pictures, text" } else { "text" }.to_owned(),
            format!("{:.2} billion", model.parameters as f64 / 1e9),
            output::bytes(model.bytes(32)),
            output::bytes(model.bytes(16)),
            output::bytes(model.quantised_bytes(BlockType::Q8_0)),
            output::bytes(model.quantised_bytes(BlockType::Q4K)),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect();
    output::print(&output::table(&rows))?;
    output::print(
        "\nMemory of the weights, by model.dtype and model.quantize (the language model's layers in blocks, the rest in bf16).\n\
         These checkpoints have exactly the tensors that are asked for; the architectures' outputs are compared with those of\n\
         transformers on small random checkpoints (`models check`). Other checkpoints of these architectures load too.\n\
         Sentence encoders: sentence-transformers folders of the MPNet and BERT kinds.",
    )
}

fn show(source: Option<String>, as_json: bool, mut common: CommonArgs) -> Result<()> {
    if source.is_some() {
        common.model = source;
    }
    let settings = Settings::load(&SettingsArgs { data: None, common })?;
    logging::start(&settings.log, true)?;
    let sources = settings.model.sources()?;
    let model =
        reasonedit_models::load(&sources.vlm, &settings.model.load_options()).map_err(CliError::failed)?;
    let info = model.info();
    let default_tap = settings.editor.embedding.tap_of(info);
    if as_json {
        return output::print_json(&json!({
            "model": info, "embedding_tap": default_tap, "sentence_encoder": sources.sentence_encoder,
        }));
    }
    let rows = [
        ("architecture", info.architecture.clone()),
        ("name", info.name.clone()),
        ("parameters", format!("{:.1} million", info.parameters as f64 / 1e6)),
        ("weights", info.dtype.clone()),
        ("device", info.device.clone()),
        ("longest sequence", format!("{} tokens", info.max_positions)),
        ("vocabulary", info.vocabulary.to_string()),
        ("fingerprint", info.fingerprint.clone()),
        ("sentence encoder", sources.sentence_encoder),
    ];
    for (name, value) in rows {
        output::print(&format!("{name:<18}{value}"))?;
    }
    output::print("taps (width)")?;
    for tap in &info.taps {
        let mark = if default_tap.as_ref() == Some(&tap.name) {
            "   pictures are embedded with this one"
        } else {
            ""
        };
        output::print(&format!("  {:<20}{:>6}{mark}", tap.name.to_string(), tap.width))?;
    }
    Ok(())
}

fn pull(id: &str, revision: Option<String>) -> Result<()> {
    if !is_hub_id(id) {
        return Err(CliError::Usage(format!("{id}: a hub id such as Qwen/Qwen3-VL-4B-Instruct is expected")));
    }
    // Loaded once as well, in the type it is published in: what can't be used is told now and not when it is
    // served.
    let options = LoadOptions { revision, dtype: WeightType::Bf16, ..LoadOptions::default() };
    let progress = service::download_progress();
    let model = load_with_progress(id, &options, &progress);
    let fingerprint = match model {
        Ok(model) => model.info().fingerprint.clone(),
        Err(as_model) => match load_sentence_encoder_with_progress(id, &options, &progress) {
            Ok(encoder) => encoder.fingerprint().to_owned(),
            // Both errors are about the same files; a model is what is usually meant.
            Err(_) => return Err(CliError::failed(as_model)),
        },
    };
    drop(progress);
    output::print(&format!("{id} is here, fingerprint {fingerprint}"))
}

fn check(folder: &Path, as_json: bool) -> Result<()> {
    let report = reasonedit_models::check::check(folder).map_err(CliError::failed)?;
    if as_json {
        output::print_json(&report)?;
    } else {
        output::print(&describe(&report))?;
    }
    if report.passes() {
        Ok(())
    } else {
        Err(CliError::CheckFailed(format!(
            "outputs differ from the reference (tolerance {:.0e})",
            reasonedit_models::check::TOLERANCE
        )))
    }
}

fn describe(report: &CheckReport) -> String {
    let equal = |equal: bool| if equal { "equal" } else { "DIFFER" }.to_owned();
    let error = |error: f64| format!("{error:.2e}");
    let rows = [
        ("cases", report.cases.to_string()),
        ("prompt tokens", equal(report.tokens_equal)),
        ("pixels, steps of 1/255", format!("{:.3}", report.pixel_steps)),
        ("logits", error(report.logits_error)),
    ]
    .into_iter()
    .chain(report.taps.iter().map(|(name, tap)| (name.as_str(), error(*tap))))
    .chain([
        ("greedy tokens", equal(report.greedy_equal)),
        ("batch against alone", error(report.batch_error)),
        ("cached against from scratch", error(report.cached_error)),
    ])
    .map(|(name, value)| vec![name.to_owned(), value]);
    format!(
        "{} against its reference: largest relative errors\n{}",
        report.architecture,
        output::table(&rows.collect::<Vec<_>>())
    )
}
