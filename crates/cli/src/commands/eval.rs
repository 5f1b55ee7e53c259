//! `eval`: what edits do to a model's answers, beside what other editors do.

use std::path::{Path, PathBuf};
use std::process::Command;

use reasonedit_dataset::{Dataset, NoiseKind};
use reasonedit_evaluation::{
    Bootstrap, EditorRegistry, EditorVariant, EvaluationError, EvaluationPlan, EvaluationReport,
    GraceSettings, Provenance, RetrievalSetting, RunKind, Sequential, check_kind, evaluate, perception,
};
use reasonedit_world::writer::write_probes;
use serde_json::json;

use self::naming::{WORLD, named};
use self::remote::Remote;
use crate::args::{EvalArgs, NoiseChoice, Protocol, SweepChoice};
use crate::client::Client;
use crate::commands::target::codebook_name;
use crate::commands::world;
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{logging, output, serve, service};

mod naming;
mod remote;
mod tuning;

/// Most probes of perception that are made with a world.
const PROBES: usize = 300;
/// Values of k that are tried (paper: 5).
const K: [f64; 6] = [1.0, 2.0, 3.0, 5.0, 8.0, 12.0];
/// Values of τ that are tried (paper section 4.5: 10 to 50; authors' code: 1).
const TAU: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0];
/// Edits, where nobody says how many.
const EDITS: usize = 100;
/// Sizes of the static protocol, where nobody names any.
const SIZES: [usize; 4] = [1, 10, 100, 500];
/// Folder of what editors keep, below the results.
const WORK: &str = "work";

/// Makes the edits with every editor, asks everything that tests them, prints a table and writes the report.
///
/// # Errors
/// Wrong settings, data that can't be read, results of other settings in the folder, a model that can't be
/// loaded, an edit or question that fails; SIGINT or SIGTERM, after which the same command goes on.
pub(crate) async fn run(args: &EvalArgs) -> Result<()> {
    if let Some(folder) = &args.out {
        let kind = if args.tune.is_some() { RunKind::Tuning } else { RunKind::Evaluation };
        check_kind(folder, kind).map_err(|error| usage(&error))?;
    }
    let scratch = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    if args.server.is_some() {
        return measured(args, scratch.path()).await;
    }
    // The signal first: data that are being written don't let it be heard later.
    tokio::select! {
        biased;
        () = first_signal() => Err(stopped(args)),
        done = measured(args, scratch.path()) => {
            named(done, scratch.path(), &source(args), args.training.as_deref())
        }
    }
}

/// Waits for SIGINT or SIGTERM; a second one ends at once.
async fn first_signal() {
    serve::signal().await;
    tokio::spawn(async {
        serve::signal().await;
        std::process::exit(130);
    });
}

/// What whoever stopped an evaluation is told. What was measured is in the folder already, line by line.
fn stopped(args: &EvalArgs) -> CliError {
    CliError::Failed(match &args.out {
        Some(folder) => {
            format!("stopped; the same command goes on from here, with what is in {}", folder.display())
        }
        None => "stopped, and nothing was kept; with --out DIR the same command would go on from here".into(),
    })
}

async fn measured(args: &EvalArgs, scratch: &Path) -> Result<()> {
    let settings = Settings::load_for_scratch(&args.settings, &scratch.join("editor"))?;
    logging::start(&settings.log, true)?;
    let variants: Vec<EditorVariant> = args
        .variants
        .iter()
        .map(|text| EditorVariant::parse(text))
        .collect::<Result<_, _>>()
        .map_err(|error| usage(&error))?;
    let folder = data_folder("--data", &source(args), &scratch.join(WORLD))?;
    let data = Dataset::open_with(&folder, args.images.as_deref(), args.split.as_deref())
        .map_err(CliError::failed)?;
    if let Some(url) = &args.server {
        return of_a_service(args, url, &data, variants).await;
    }

    let tuned = tuning::read(args, &data)?;
    let local = service::open(&settings).await?;
    let work = args.out.as_deref().unwrap_or(scratch).join(WORK);
    let registry =
        EditorRegistry::new(local.editor.engine().clone(), settings.editor.clone(), work, variants);
    let mut registry = registry.map_err(|error| usage(&error))?.with_grace(grace(args)?);
    for _ in 1..args.jobs {
        registry = registry.with_engine(service::another_engine(&settings).await?);
    }
    let provenance = provenance(args, &settings, &local, &data).await?;
    if let Some(tuned) = &tuned {
        tuned.check_model(&provenance.model_fingerprint).map_err(CliError::failed)?;
        registry = tuned.apply(registry).map_err(|error| usage(&error))?;
    }
    let known = registry.names();
    let mut plan = plan(args, &known, |name| registry.knows(name))?;
    if args.tune.is_some() && args.editors.iter().any(|name| name == "all") {
        plan.editors = registry.tunable();
    }
    if tuned.is_some() {
        tuning::beside_published(&mut plan.editors, &known);
    }
    let identity = json!({
        "data": provenance.data_digest,
        "model": provenance.model_fingerprint,
        "sentence_encoder": provenance.encoder_fingerprint,
        "editor": provenance.configuration,
    });
    let trained = registry.trained(&plan.editors);
    if let Some(training) = tuning::training(args, &trained, &data, scratch)? {
        registry = registry.with_training(training).with_training_progress(tuning::training_progress());
    }
    if let Some(file) = &args.tune {
        return tuning::run(args, file, registry, plan.editors, &data, &provenance, &identity).await;
    }

    let bars = Stages::of(args.jobs);
    let told = |stage: &str, done: usize, all: usize| bars.set(stage, done as u64, all as u64);
    let measured = async {
        let seen = perception(&local.editor, &data, &plan.bootstrap, &told).await?;
        Ok((seen, evaluate(&registry, &data, &plan, &identity, &told).await?))
    }
    .await;
    bars.finish();
    let (seen, measured) = measured.map_err(failed)?;
    let mut report = EvaluationReport::new(&measured, &plan, provenance, seen);
    if let Some(tuned) = &tuned {
        report = report.with_tuning(tuned);
    }
    tell(args, &report)
}

/// Where the records come from: as it is said, or a world of so many.
fn source(args: &EvalArgs) -> String {
    match (&args.data, args.count) {
        (Some(data), _) => data.clone(),
        (None, count) => format!("world:{}:{}", args.seed, count.unwrap_or_default()),
    }
}

/// The same of a running service. What it was given is taken back, however the evaluation ends.
///
/// # Errors
/// As [`run`]; a service that can't be reached, or a codebook that isn't the evaluation's own.
async fn of_a_service(
    args: &EvalArgs,
    url: &str,
    data: &Dataset,
    variants: Vec<EditorVariant>,
) -> Result<()> {
    if args.settings.model.is_some() || args.settings.sentence_encoder.is_some() {
        return Err(CliError::Usage(
            "--model: a service has its own; leave out one of --model and --server".to_owned(),
        ));
    }
    codebook_name(&args.codebook)?;
    let token = args.token.clone().or_else(|| std::env::var("REASONEDIT_TOKEN").ok());
    let remote = Remote::new(Client::new(url, token, &args.codebook)?, &args.codebook, variants)?;
    let known = remote.names();
    if let Some(name) = args.editors.iter().find(|name| *name != "all" && !known.contains(name)) {
        return Err(CliError::Usage(format!(
            "--editors: `{name}` can't be measured through a service; there are {}, all. Leave out --server for others",
            known.join(", ")
        )));
    }
    let plan = plan(args, &known, |name| known.iter().any(|own| own == name))?;
    let model = remote.model().await?;
    let left = remote.clear().await?;
    if left > 0 {
        output::note(&format!("{left} edits of an evaluation that ended early were reverted"));
    }
    let mut notes = data.notes.clone();
    notes.push(
        "Measured through a service: a question's time includes the transfer of its picture; of an edit it is what the service says. Radii of keys are \
         drawn by the ids of edits, which are new every time, so that figures differ a little when they are measured again. \
         Of the service's settings only the embedding is known here."
            .to_owned(),
    );
    if !data.probes.is_empty() {
        notes.push(
            "What the unedited model sees was not measured: probes need the model in this process."
                .to_owned(),
        );
    }
    let mut provenance = Provenance {
        command: command(std::env::args()),
        version: remote.version().await?.unwrap_or_else(|| "unknown".to_owned()),
        git_revision: None,
        data: data_name(&source(args)),
        data_digest: data.digest().to_owned(),
        notes,
        model: model.name,
        model_fingerprint: model.fingerprint,
        encoder_fingerprint: "unknown".to_owned(),
        configuration: json!({}),
    };
    let identity = json!({
        "data": provenance.data_digest, "model": provenance.model_fingerprint, "through": "a service",
    });
    tokio::spawn(stop_on_signals(remote.handle()));
    let bars = Stages::default();
    let told = |stage: &str, done: usize, all: usize| bars.set(stage, done as u64, all as u64);
    let measured = evaluate(&remote, data, &plan, &identity, &told).await;
    bars.finish();
    let embedding = remote.embedding().await;
    if let Err(error) = remote.clear().await {
        output::note(&format!(
            "edits are left in the codebook `{}` ({error}); the next evaluation reverts them",
            args.codebook
        ));
    }
    if remote.is_stopped() {
        let again = if args.out.is_some() { "; the same command goes on from here" } else { "" };
        return Err(CliError::Failed(format!("stopped, and its edits were reverted{again}")));
    }
    let measured = measured.map_err(failed)?;
    let embedding = embedding?;
    if let Some(encoder) = embedding["encoder_fingerprint"].as_str() {
        encoder.clone_into(&mut provenance.encoder_fingerprint);
    }
    provenance.configuration = json!({ "embedding": embedding });
    tell(args, &EvaluationReport::new(&measured, &plan, provenance, Vec::new()))
}

/// Ends the evaluation of a service in good order on the first SIGINT or SIGTERM, and at once on the second.
async fn stop_on_signals(remote: Remote) {
    serve::signal().await;
    output::note(
        "stopping; the edits are being reverted (once more ends at once, and leaves them to the next evaluation)",
    );
    remote.stop();
    serve::signal().await;
    std::process::exit(1);
}

/// Writes the report where it is wanted, and prints it.
fn tell(args: &EvalArgs, report: &EvaluationReport) -> Result<()> {
    if let Some(folder) = &args.out {
        report.write(folder).map_err(failed)?;
    }
    if args.json {
        output::print_json(report)?;
    } else {
        output::print(&describe(report))?;
    }
    if let Some(folder) = &args.out {
        output::note(&format!("report and figures: {}", folder.join("report.md").display()));
    }
    Ok(())
}

fn grace(args: &EvalArgs) -> Result<GraceSettings> {
    let defaults = GraceSettings::default();
    let radius = args.grace_radius.unwrap_or(defaults.radius);
    if !(radius.is_finite() && radius > 0.0) {
        return Err(CliError::Usage(format!("--grace-radius {radius}: a share above 0 is wanted")));
    }
    Ok(GraceSettings { layer: args.grace_layer, radius, ..defaults })
}

/// Names and settings that a person got wrong.
fn usage(error: &EvaluationError) -> CliError {
    CliError::Usage(error.to_string())
}

fn failed(error: EvaluationError) -> CliError {
    match error {
        EvaluationError::Editor(error) => service::refused(error),
        error @ EvaluationError::UnknownEditor { .. } => usage(&error),
        other => CliError::failed(other),
    }
}

/// The folder of the data; a world is written into this one. `option` is where they are named.
pub(super) fn data_folder(option: &str, data: &str, folder: &Path) -> Result<PathBuf> {
    let Some(world) = data.strip_prefix("world:") else { return Ok(PathBuf::from(data)) };
    let numbers =
        world.split_once(':').and_then(|(seed, count)| Some((seed.parse().ok()?, count.parse().ok()?)));
    let Some((seed, count)) = numbers.filter(|(_, count): &(u64, usize)| *count > 0) else {
        return Err(CliError::Usage(format!(
            "{option} {data}: world:SEED:COUNT is wanted, as in world:1000009:500"
        )));
    };
    world::write_records(seed, count, folder)?;
    write_probes(folder, seed, count.min(PROBES), |_, _| {}).map_err(CliError::failed)?;
    Ok(folder.to_owned())
}

/// What was asked for. `known` are the editors that there are, and `can_be_made` says whether one can be made
/// under a name: one that can't is told before anything is measured.
fn plan(args: &EvalArgs, known: &[String], can_be_made: impl Fn(&str) -> bool) -> Result<EvaluationPlan> {
    let all = args.editors.iter().any(|name| name == "all");
    let mut editors = if all { known.to_vec() } else { args.editors.clone() };
    if let Some(name) = editors.iter().find(|name| !can_be_made(name)) {
        let known = known.join(", ");
        return Err(CliError::Usage(format!(
            "--editors: there is no editor `{name}`; there are {known}, all"
        )));
    }
    for variant in &args.variants {
        let name = variant.split(':').next().unwrap_or_default();
        if !editors.iter().any(|editor| editor == name) {
            editors.push(name.to_owned());
        }
    }
    let kind = |choice: &NoiseChoice| match choice {
        NoiseChoice::Replace => NoiseKind::Replace,
        NoiseChoice::Add => NoiseKind::Add,
    };
    let noise = args
        .noise
        .iter()
        .flat_map(|choice| args.noise_levels.iter().map(move |level| (kind(choice), *level)));
    let sweep = |choice: &SweepChoice| match choice {
        SweepChoice::K => (RetrievalSetting::K, K.to_vec()),
        SweepChoice::Tau => (RetrievalSetting::Tau, TAU.to_vec()),
    };
    let wanted = |protocol: Protocol| args.protocol.contains(&protocol);
    let sequential =
        wanted(Protocol::Sequential).then_some(Sequential { every: args.every, sample: args.sample });
    Ok(EvaluationPlan {
        editors,
        edits: edits(args),
        given_boxes: args.given_boxes,
        all_at_once: wanted(Protocol::Static),
        // A service's editors take over each other's edits, which smaller sizes would revert.
        sizes: args
            .sizes
            .clone()
            .unwrap_or_else(|| if args.server.is_some() { Vec::new() } else { SIZES.to_vec() }),
        single: wanted(Protocol::Single),
        sequential,
        noise: noise.collect(),
        sweeps: args.sweep.iter().map(sweep).collect(),
        seed: args.seed,
        save_every: EvaluationPlan::SAVE_EVERY,
        jobs: args.jobs,
        bootstrap: Bootstrap { seed: args.seed, ..Bootstrap::default() },
        out: args.out.clone(),
    })
}

/// Edits to make at most.
fn edits(args: &EvalArgs) -> usize {
    args.edits.or(args.count).unwrap_or(EDITS)
}

async fn provenance(
    args: &EvalArgs,
    settings: &Settings,
    local: &service::Local,
    data: &Dataset,
) -> Result<Provenance> {
    let model = local.info().await?;
    let encoder = local.editor.engine().sentence_info().await.map_err(CliError::failed)?;
    Ok(Provenance {
        command: command(std::env::args()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: git_revision(),
        data: data_name(&source(args)),
        data_digest: data.digest().to_owned(),
        notes: notes(args, data),
        model: model.name.clone(),
        model_fingerprint: model.fingerprint.clone(),
        encoder_fingerprint: encoder.fingerprint.clone(),
        configuration: serde_json::to_value(&settings.editor).map_err(CliError::failed)?,
    })
}

/// What a reader must know of the data and of how they were measured.
fn notes(args: &EvalArgs, data: &Dataset) -> Vec<String> {
    let mut notes = data.notes.clone();
    if args.jobs > 1 {
        notes.push(format!(
            "{} editors were measured at a time, each with a share of the processor's cores: times are those \
             of such a share, and memory is that of all of them.",
            args.jobs
        ));
    }
    notes
}

/// A world by its name, a folder or file by its last: where it lies on this machine is nobody's business.
fn data_name(data: &str) -> String {
    if data.starts_with("world:") {
        return data.to_owned();
    }
    let name = Path::new(data).file_name();
    let kind = if Path::new(data).is_file() { "file" } else { "folder" };
    name.map_or_else(|| format!("a {kind}"), |name| format!("the {kind} {}", name.to_string_lossy()))
}

/// The command line as it would be typed, the program by its name.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let quoted = |argument: String| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    // A token opens the service to whoever reads the report.
    let mut rest: Vec<String> = arguments.skip(1).collect();
    rest.retain(|argument| !argument.starts_with("--token="));
    while let Some(at) = rest.iter().position(|argument| argument == "--token") {
        rest.drain(at..rest.len().min(at + 2));
    }
    let rest = rest.into_iter().map(quoted);
    std::iter::once("reasonedit".to_owned()).chain(rest).collect::<Vec<_>>().join(" ")
}

/// Revision of the checkout that the program was built in, with a `+` where files differ from it; `None`
/// without a checkout or without git.
fn git_revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { revision } else { revision + "+" })
}

fn describe(report: &EvaluationReport) -> String {
    let seen = report
        .perception
        .0
        .iter()
        .filter_map(|(name, figure)| Some(format!("{name} {:.3} of {}", figure.value?, figure.n)));
    let seen: Vec<String> = seen.collect();
    let seen =
        if seen.is_empty() { String::new() } else { format!("the unedited model: {}\n", seen.join(", ")) };
    format!(
        "{} edits; {} records were right before and not edited\n{seen}{}",
        report.edits,
        report.right_before,
        output::table(&report.rows())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_are_named_and_paths_are_not() {
        assert_eq!(data_name("world:1:2"), "world:1:2");
        assert_eq!(data_name("/home/somebody/vqa/"), "the folder vqa");
        let scratch = tempfile::tempdir().unwrap();
        for wrong in ["world:", "world:1", "world:x:2", "world:1:0"] {
            assert!(
                matches!(data_folder("--data", wrong, scratch.path()), Err(CliError::Usage(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_command_can_be_typed_again() {
        let arguments = ["/usr/bin/x", "eval", "--variant", "a:b=c d", "--data", "it's"];
        let typed = command(arguments.into_iter().map(str::to_owned));
        assert_eq!(typed, r"reasonedit eval --variant 'a:b=c d' --data 'it'\''s'");
        let secret = ["x", "eval", "--token", "s3cret", "--data", "d", "--token=s3cret"];
        assert_eq!(command(secret.into_iter().map(str::to_owned)), "reasonedit eval --data d");
    }
}
