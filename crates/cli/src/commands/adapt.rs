//! `adapt`: trains a low-rank adapter from a codebook's live edits.

mod evaluate;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use reasonedit_codebook::{CodebookName, EditRecord};
use reasonedit_editor::Editor;
use reasonedit_imaging::decode;
use reasonedit_inference::{CallOptions, EngineHandle, ModelInfo};
use reasonedit_models::{LowRankAdapter, Projection, VisionLanguageModel};
use reasonedit_resilience::blocking;
use reasonedit_tuning::{
    AdapterProgress, AdapterSettings, AdapterTraining, Correction, Question, TuningError,
    reply_with_reasoning,
};
use serde_json::{Value, json};

use super::target::codebook_name;
use crate::args::{AdaptArgs, TargetChoice};
use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::{logging, output, service};

/// Tokens that a call of the model is said to cost.
const CALL_COST: usize = 512;

/// More than this is no low rank, and might not fit into memory.
const GREATEST_RANK: usize = 1024;

/// Trains, writes, and says what came of it.
///
/// # Errors
/// Wrong options, a codebook without edits, a model without gradients, a training that diverged, a folder
/// that can't be written. What was in the folder stays as it was then.
pub(crate) async fn run(args: &AdaptArgs) -> Result<()> {
    let name = codebook_name(&args.codebook)?;
    let chosen = chosen(args)?;
    check_folder(&args.out)?;
    let settings = Settings::load(&args.settings)?;
    if settings.model.adapter.is_some() {
        return Err(CliError::Usage(
            "an adapter is trained beside the model itself: leave model.adapter (--adapter) out".into(),
        ));
    }
    logging::start(&settings.log, true)?;
    let local = service::open_existing(&settings, &name).await?;
    let (records, revision) = standing(&local.editor, &name)?;
    let began = Instant::now();
    let (adapter, progress) = train(&local.editor, &records, chosen.clone(), args.reasoning).await?;
    let seconds = began.elapsed().as_secs_f64();
    let info = local.info().await?;
    let about = About {
        codebook: &name,
        revision,
        records: &records,
        info: &info,
        settings: &chosen,
        args,
        progress,
    };
    about.write(&adapter, &args.out)?;

    let mut outcome = json!({
        "adapter": args.out, "codebook": {"name": name, "revision": revision}, "edits": records.len(),
        "parameters": parameters(&adapter),
        "steps": progress.steps, "loss": progress.loss, "seconds": (seconds * 10.0).round() / 10.0,
    });
    if args.evaluate {
        let reliability = evaluate::reliability(local, &settings, &name, &records, &args.out).await?;
        outcome["reliability"] = json!(reliability);
    } else {
        local.editor.shutdown().await;
    }
    if args.json { output::print_json(&outcome) } else { output::print(&told(&outcome)) }
}

/// Files of others are not written over: a folder is empty, or holds an adapter.
fn check_folder(out: &Path) -> Result<()> {
    let occupied = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !out.join("adapter_config.json").is_file() {
        return Err(CliError::Usage(format!(
            "--out {}: the folder holds something else than an adapter; an empty or new one is wanted",
            out.display()
        )));
    }
    Ok(())
}

fn chosen(args: &AdaptArgs) -> Result<AdapterSettings> {
    let positive = |what: &str, fine: bool| {
        if fine { Ok(()) } else { Err(CliError::Usage(format!("--{what} has to be more than 0"))) }
    };
    positive("rank", args.rank > 0)?;
    if args.rank > GREATEST_RANK {
        return Err(CliError::Usage(format!("--rank {}: {GREATEST_RANK} is the most", args.rank)));
    }
    positive("alpha", args.alpha.is_finite() && args.alpha > 0.0)?;
    positive("epochs", args.epochs > 0)?;
    positive("batch", args.batch > 0)?;
    positive("rate", args.rate.is_finite() && args.rate > 0.0)?;
    let mut settings = AdapterSettings {
        rank: args.rank,
        alpha: args.alpha,
        learning_rate: args.rate,
        epochs: args.epochs,
        batch: args.batch,
        seed: args.seed,
        ..AdapterSettings::default()
    };
    if !args.targets.is_empty() {
        settings.targets = Projection::ALL
            .into_iter()
            .zip([
                TargetChoice::QProj,
                TargetChoice::KProj,
                TargetChoice::VProj,
                TargetChoice::OProj,
                TargetChoice::GateProj,
                TargetChoice::UpProj,
                TargetChoice::DownProj,
            ])
            .filter(|(_, choice)| args.targets.contains(choice))
            .map(|(projection, _)| projection)
            .collect();
    }
    Ok(settings)
}

/// The edits of a codebook that stand, oldest first, and how many events of its history led to them.
fn standing(editor: &Editor, name: &CodebookName) -> Result<(Vec<Arc<EditRecord>>, u64)> {
    let book = editor.library().get(name).map_err(CliError::failed)?;
    let snapshot = book.snapshot();
    let revision = snapshot.revision();
    // What a newer edit took the place of would be trained against it.
    let stands = |record: &&Arc<EditRecord>| snapshot.superseded_by(record.id).is_none();
    let records: Vec<Arc<EditRecord>> = snapshot.edits().filter(stands).cloned().collect();
    if records.is_empty() {
        return Err(CliError::Failed(format!("codebook {name} has no live edits to train on")));
    }
    Ok((records, revision))
}

/// What is to be said to an edited question.
async fn correction(editor: &Editor, record: &EditRecord, reasoning: bool) -> Result<Correction> {
    let (bytes, _) = editor.image(record.image.id).await.map_err(service::refused)?;
    let limits = editor.config().image.clone();
    let picture = blocking(move || decode(&bytes, &limits).map_err(CliError::failed)).await?.image;
    let question = Question {
        picture: Arc::new(picture.into()),
        text: record.question.clone(),
        choices: record.choices.clone(),
    };
    let statements = record.reasoning.iter().map(|statement| statement.statement.as_str());
    let reply = if reasoning {
        reply_with_reasoning(&record.answer, statements)
    } else {
        record.answer.trim().to_owned()
    };
    Ok(Correction { question, reply })
}

async fn train(
    editor: &Editor,
    records: &[Arc<EditRecord>],
    settings: AdapterSettings,
    reasoning: bool,
) -> Result<(LowRankAdapter, AdapterProgress)> {
    let rate = settings.learning_rate;
    let training = Arc::new(Mutex::new(AdapterTraining::new(settings)));
    let engine = editor.engine();
    let mut bar = Progress::items("pictures", records.len() as u64);
    for (done, record) in records.iter().enumerate() {
        let correction = correction(editor, record, reasoning).await?;
        with_model(engine, &training, move |training, model| training.add(model, &correction))
            .await?
            .map_err(CliError::failed)?;
        bar.set(done as u64 + 1, records.len() as u64);
    }
    bar.finish();
    let mut progress = training.lock().progress();
    let mut bar = Progress::items("training steps", progress.of as u64);
    while !progress.done {
        progress = with_model(engine, &training, AdapterTraining::step)
            .await?
            .map_err(|error| not_learnt(error, rate))?;
        bar.set(progress.steps as u64, progress.of as u64);
    }
    bar.finish();
    if !progress.has_learnt() {
        let loss = |loss: Option<f64>| loss.map_or_else(|| "unknown".to_owned(), |loss| format!("{loss:.4}"));
        let said = format!(
            "the loss (nats a token) was {} at the first step and is {} at the end, where guessing has {}",
            loss(progress.first_loss),
            loss(progress.loss),
            loss(progress.guessing)
        );
        return Err(diverged(&said, rate));
    }
    let adapter = training.lock().adapter().map_err(CliError::failed)?;
    Ok((adapter, progress))
}

/// What a step's error means to whoever chose the learning rate.
fn not_learnt(error: TuningError, rate: f64) -> CliError {
    match error {
        TuningError::NonFiniteLoss { .. } => diverged(&error.to_string(), rate),
        other => CliError::failed(other),
    }
}

fn diverged(said: &str, rate: f64) -> CliError {
    let usual = AdapterSettings::default().learning_rate;
    CliError::Failed(format!(
        "the training diverged: {said}. Nothing was written; choose a smaller --rate than {rate:e} ({usual} is \
         the default)"
    ))
}

async fn with_model<T: Send + 'static>(
    engine: &EngineHandle,
    training: &Arc<Mutex<AdapterTraining>>,
    call: impl Fn(&mut AdapterTraining, &dyn VisionLanguageModel) -> Result<T, TuningError>
    + Send
    + Sync
    + 'static,
) -> Result<Result<T, TuningError>> {
    let training = Arc::clone(training);
    let call = move |model: &dyn VisionLanguageModel| Ok(call(&mut training.lock(), model));
    let done = engine.call_model(CALL_COST, call, CallOptions::default()).await;
    Ok(done.map_err(CliError::failed)?.0)
}

fn parameters(adapter: &LowRankAdapter) -> usize {
    adapter.0.values().map(|factors| factors.a.elem_count() + factors.b.elem_count()).sum()
}

/// What an adapter was made of.
struct About<'a> {
    codebook: &'a CodebookName,
    revision: u64,
    records: &'a [Arc<EditRecord>],
    info: &'a ModelInfo,
    settings: &'a AdapterSettings,
    args: &'a AdaptArgs,
    progress: AdapterProgress,
}

impl About<'_> {
    /// Writes everything beside the folder first and then moves it there: a broken write never looks like an
    /// adapter.
    fn write(&self, adapter: &LowRankAdapter, out: &Path) -> Result<()> {
        std::fs::create_dir_all(out).map_err(|error| CliError::file(out, error))?;
        let scratch = tempfile::tempdir_in(out).map_err(|error| CliError::file(out, error))?;
        let newest = self.records.last().map(|record| record.id.to_string()).unwrap_or_default();
        let notes = [
            ("codebook", self.codebook.to_string()),
            ("revision", self.revision.to_string()),
            ("edits", self.records.len().to_string()),
            ("newest_edit", newest),
        ];
        adapter.write(scratch.path(), self.info, &notes).map_err(CliError::failed)?;
        let card = scratch.path().join("README.md");
        std::fs::write(&card, self.card(&notes)).map_err(|error| CliError::file(&card, error))?;
        let written = std::fs::read_dir(scratch.path()).map_err(|error| CliError::file(out, error))?;
        for entry in written {
            let entry = entry.map_err(|error| CliError::file(out, error))?;
            let to = out.join(entry.file_name());
            std::fs::rename(entry.path(), &to).map_err(|error| CliError::file(to, error))?;
        }
        Ok(())
    }

    /// The card that hubs show.
    fn card(&self, notes: &[(&str, String)]) -> String {
        let AdapterSettings { rank, alpha, targets, learning_rate, epochs, batch, seed, .. } = self.settings;
        let targets: Vec<&str> = targets.iter().map(|target| target.name()).collect();
        let row = |(name, value): &(&str, String)| format!("| {} | `{value}` |\n", name.replace('_', " "));
        let fingerprint = ("model_fingerprint", self.info.fingerprint.clone());
        let notes = std::iter::once(&fingerprint).chain(notes).map(row).collect::<Vec<_>>().concat();
        let loss = self.progress.loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
        let reply = if self.args.reasoning { "answer and reasoning" } else { "answer" };
        format!(
            "---\nbase_model: {base}\nlibrary_name: peft\ntags:\n- lora\n- reasonedit\n---\n\n\
             # Corrections of {base}\n\n\
             A low-rank adapter, trained by `reasonedit adapt` on corrections that people made. It belongs to the model whose fingerprint stands here and \
             is no part of the codebook: it can't be undone edit by edit.\n\n\
             | | |\n| --- | --- |\n{notes}\
             | rank, alpha | {rank}, {alpha} |\n| targets | {targets} |\n| trained to give | {reply} |\n\
             | learning rate, epochs, batch, seed | {learning_rate}, {epochs}, {batch}, {seed} |\n\
             | steps, last loss (nats a token) | {steps}, {loss} |\n",
            base = self.info.name,
            targets = targets.join(", "),
            steps = self.progress.steps,
        )
    }
}

/// The outcome in a few lines.
fn told(outcome: &Value) -> String {
    let loss = outcome["loss"].as_f64().map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
    let mut said = format!(
        "{}: {} parameters from {} edits, {} steps{loss}, {} s",
        outcome["adapter"].as_str().unwrap_or_default(),
        outcome["parameters"],
        outcome["edits"],
        outcome["steps"],
        outcome["seconds"],
    );
    if let Some(reliability) = outcome["reliability"].as_object() {
        let rows: Vec<Vec<String>> = reliability
            .iter()
            .map(|(way, share)| {
                vec![way.replace('_', " "), format!("{:.3}", share.as_f64().unwrap_or_default())]
            })
            .collect();
        said.push_str("\nedited questions answered rightly\n");
        said.push_str(&output::table(&rows));
    }
    said
}
