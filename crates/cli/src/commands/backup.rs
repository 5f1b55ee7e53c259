//! `backup` and `restore`: a data folder into a folder of backups, and out of it.

use std::ops::ControlFlow;
use std::path::Path;

use reasonedit_backup::{
    BackupError, BackupId, BackupProgress, BackupRepository, BackupSource, CreateOptions, RestoreOptions,
    RestoreSummary,
};
use reasonedit_codebook::{CodebookName, ImageStore};
use reasonedit_dto::backup::{BackupDto, BackupListDto, BackupResultDto};
use reasonedit_resilience::blocking;
use serde_json::json;

use super::batch::follow;
use super::codebook::salvage;
use super::target::client_of;
use crate::args::{BackupArgs, BackupCommand, CreateBackupArgs, RestoreArgs};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::logging::LogSettings;
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{logging, output, service};

/// Runs `backup`.
///
/// # Errors
/// Wrong settings, a folder that can't be used or is in use, data that is damaged; a check that came out
/// negative.
pub(crate) async fn run(args: &BackupArgs) -> Result<()> {
    match args.command.clone() {
        BackupCommand::Create(args) => create(*args).await,
        BackupCommand::List { repository, json } => blocking(move || list(&repository, json)).await,
        BackupCommand::Verify { repository, snapshot, json } => {
            blocking(move || verify(&repository, snapshot.as_ref(), json)).await
        }
        BackupCommand::Prune { repository, keep, check, json } => {
            blocking(move || prune(&repository, keep as usize, check, json)).await
        }
    }
}

/// Runs `restore`.
///
/// # Errors
/// A folder of backups or one to restore into that can't be used, a backup that is damaged; one of which not
/// all could be restored.
pub(crate) async fn restore(args: RestoreArgs) -> Result<()> {
    blocking(move || {
        let RestoreArgs { repository, out, snapshot, incomplete, archives, json, settings } = args;
        salvage::outside(archives.as_deref(), &out)?;
        let settings = Settings::load_for_scratch(&settings, &out)?;
        let operator = settings.storage.operator_key()?;
        let opened = opened(&repository)?;
        let bars = Bars::default();
        let options = RestoreOptions { snapshot: snapshot.as_ref(), operator: operator.as_ref(), incomplete };
        let restored = opened.restore(&out, &service::folders, options, &|at| bars.show(at));
        bars.0.finish();
        let restored = restored.map_err(|error| match error {
            BackupError::NotEmpty => CliError::Failed(format!("{}: {error}", out.display())),
            error => told(&repository, &error),
        })?;
        if let Some(saved) = &restored.salvaged {
            let [_, images, keys] = service::folders(&out);
            let keys = service::open_keys(&settings, &keys)?;
            let images = ImageStore::open_with(&images, keys).map_err(CliError::failed)?;
            salvage::write_archives(archives.as_deref(), saved, &images)?;
        }
        if json {
            output::print_json(&restored)?;
        } else {
            output::print(&lines_of_restored(&out, archives.as_deref(), &restored))?;
        }
        // A file of which there is another that is whole costs nothing.
        match restored.harmed.iter().filter(|harmed| !harmed.of.is_empty()).count() {
            0 => Ok(()),
            count => {
                Err(CliError::CheckFailed(format!("{count} files of the backup are damaged or missing")))
            }
        }
    })
    .await
}

fn lines_of_restored(out: &Path, archives: Option<&Path>, restored: &RestoreSummary) -> String {
    let mut lines: Vec<String> = restored.harmed.iter().map(ToString::to_string).collect();
    lines.extend(restored.salvaged.iter().flat_map(|saved| salvage::lines_of(saved, archives)));
    lines.extend(restored.lost_pictures.iter().map(|id| format!("the picture {id} is lost")));
    lines.push(format!(
        "{}: the data folder of {}; {} codebooks, {} edits, {} pictures, {} read and compared",
        out.display(),
        restored.id,
        restored.codebooks,
        restored.edits,
        restored.pictures,
        output::bytes(restored.bytes)
    ));
    lines.join("\n")
}

/// Bars of stages, for who works on one thread.
#[derive(Default)]
struct Bars(Stages);

impl Bars {
    fn show(&self, at: BackupProgress) -> ControlFlow<()> {
        self.0.set(at.stage, at.done, at.total.max(at.done));
        ControlFlow::Continue(())
    }
}

/// What went wrong, with the folder of backups that it is about.
fn told(repository: &Path, error: &BackupError) -> CliError {
    match error {
        BackupError::File { .. } | BackupError::Codebook(_) | BackupError::Source { .. } => {
            CliError::failed(error)
        }
        _ => CliError::Failed(format!("{}: {error}", repository.display())),
    }
}

fn opened(repository: &Path) -> Result<BackupRepository> {
    logging::start(&LogSettings::default(), true)?;
    BackupRepository::open(repository).map_err(|error| told(repository, &error))
}

async fn create(args: CreateBackupArgs) -> Result<()> {
    let name = CodebookName::default();
    let client = client_of(args.server.as_deref(), args.token.as_deref(), name.as_str())?;
    let as_json = args.json;
    let made = match (client, args.repository.clone()) {
        (Some(client), _) => of_service(&client, &args).await?,
        (None, Some(repository)) => blocking(move || of_folder(&repository, &args)).await?,
        (None, None) => return Err(CliError::Usage("a folder of backups or --server is needed".to_owned())),
    };
    if as_json {
        output::print_json(&made)?;
    } else {
        output::print(&lines_of(&made))?;
    }
    if made.faults.is_empty() {
        return Ok(());
    }
    Err(CliError::CheckFailed("the backup is there, of a store that is not as it was written".to_owned()))
}

/// Has a service back itself up.
async fn of_service(client: &Client, args: &CreateBackupArgs) -> Result<BackupResultDto> {
    let mut body = json!({ "check": args.check });
    if args.new_repository {
        body["new_repository"] = json!(true);
    }
    let submitted = client.post("backup", &body).await?;
    let id = submitted["id"].as_str().unwrap_or_default().to_owned();
    let job = follow(client, &id, submitted).await?;
    match job["state"].as_str() {
        Some("done") => serde_json::from_value(job["result"].clone()).map_err(CliError::failed),
        state => {
            let detail = job["error"]["detail"].as_str().unwrap_or("the log of the service says why");
            Err(CliError::Failed(format!("job {id}: {}: {detail}", state.unwrap_or("unknown"))))
        }
    }
}

/// Backs up a folder that no service uses.
fn of_folder(repository: &Path, args: &CreateBackupArgs) -> Result<BackupResultDto> {
    let settings = Settings::load(&args.settings)?;
    logging::start(&settings.log, true)?;
    let data = &settings.data;
    let [codebooks, ..] = service::folders(data);
    if !codebooks.is_dir() {
        return Err(CliError::Failed(format!("{}: no codebooks here", data.display())));
    }
    service::outside(data, repository)?;
    let (store, images) = service::open_stores(&settings, data)?;
    let keys = store.keys().ok_or_else(|| CliError::failed("the store has no keys"))?;
    let files = service::kept_files(data);
    let source = BackupSource { images: &images, keys: &keys, files: &files };
    let (known, new) = (service::known_repositories(data), args.new_repository);
    let opened = BackupRepository::open_or_create(repository, &known, &keys, new)
        .map_err(|error| told(repository, &error))?;
    let (bars, options) = (Bars::default(), CreateOptions { check: args.check, keep: 0 });
    let made = opened.create(&|take| store.dump(take), &source, options, &|at| bars.show(at));
    bars.0.finish();
    Ok(made.map_err(|error| told(repository, &error))?.into())
}

fn lines_of(made: &BackupResultDto) -> String {
    let mut lines = vec![format!(
        "{}: {} codebooks, {} edits, {} pictures, {}; {} new; edits waited {:.1} ms at most",
        made.id,
        made.codebooks,
        made.edits,
        made.pictures,
        output::bytes(made.bytes),
        output::bytes(made.new_bytes),
        made.edits_waited_ms
    )];
    if made.removed > 0 {
        lines.push(format!("{} older backups removed", made.removed));
    }
    lines.extend(made.not_removed.iter().map(|why| format!("older backups were NOT removed: {why}")));
    lines.extend(made.left_out.iter().map(|id| {
        format!("the picture {id} is damaged or missing; only an edit had it that was taken back: left out")
    }));
    lines.extend(made.faults.iter().map(|fault| format!("store: {fault}")));
    lines.join("\n")
}

fn list(repository: &Path, as_json: bool) -> Result<()> {
    let listed = opened(repository)?.list().map_err(|error| told(repository, &error))?;
    let listed = BackupListDto { backups: listed.into_iter().map(BackupDto::from).collect() };
    if as_json {
        return output::print_json(&listed);
    }
    let head = ["id", "made", "codebooks", "edits", "pictures", "bytes"].map(str::to_owned);
    let rows = listed.backups.into_iter().map(|backup| match backup.contents {
        Some(has) => vec![
            backup.id,
            has.created_at,
            has.codebooks.to_string(),
            has.edits.to_string(),
            has.pictures.to_string(),
            output::bytes(has.bytes),
            if has.faults.is_some() { "of a store with faults".to_owned() } else { String::new() },
        ],
        None => vec![backup.id, "DAMAGED".to_owned()],
    });
    output::print(&output::table(&std::iter::once(head.to_vec()).chain(rows).collect::<Vec<_>>()))
}

fn verify(repository: &Path, snapshot: Option<&BackupId>, as_json: bool) -> Result<()> {
    let opened = opened(repository)?;
    let bars = Bars::default();
    let found = opened.verify(snapshot, &|at| bars.show(at));
    bars.0.finish();
    let found = found.map_err(|error| told(repository, &error))?;
    if as_json {
        output::print_json(&found)?;
    } else {
        let mut lines: Vec<String> = Vec::new();
        for harmed in &found.harmed {
            let of: Vec<&str> = harmed.of.iter().map(BackupId::as_str).collect();
            lines.push(if of.is_empty() {
                format!("{harmed}; the next backup writes it anew")
            } else {
                format!("{harmed}: of {}", of.join(", "))
            });
        }
        let (backups, files) = (found.backups, found.objects);
        lines.push(format!("{backups} backups, {files} files, {} sound", output::bytes(found.bytes)));
        output::print(&lines.join("\n"))?;
    }
    match found.harmed.len() {
        0 => Ok(()),
        count => Err(CliError::CheckFailed(format!(
            "{count} files are damaged or missing; the next `backup create --check` writes what the data folder still has"
        ))),
    }
}

fn prune(repository: &Path, keep: usize, check: bool, as_json: bool) -> Result<()> {
    let opened = opened(repository)?;
    let bars = Bars::default();
    let pruned = opened.prune(keep, check, &|at| bars.show(at));
    bars.0.finish();
    let pruned = pruned.map_err(|error| told(repository, &error))?;
    if as_json {
        return output::print_json(&pruned);
    }
    output::print(&format!(
        "{} backups removed, {} freed; {} kept{}",
        pruned.removed,
        output::bytes(pruned.freed_bytes),
        pruned.kept,
        match pruned.damaged {
            0 => String::new(),
            damaged =>
                format!("; {damaged} are damaged and don't count, `backup verify` names what is wrong"),
        }
    ))
}
