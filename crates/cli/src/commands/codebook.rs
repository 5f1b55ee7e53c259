//! `codebook`: counts, archives, and a check of what is stored.

use std::io::{self, Read, Write};
use std::path::Path;

use reasonedit_editor::{CallContext, ImportOptions};

use super::target::Target;
use super::unfinished_file::UnfinishedFile;
use crate::args::{CodebookArgs, CodebookCommand, TargetArgs};
use crate::error::{CliError, Result};
use crate::{output, render, service, shape};

pub(super) mod salvage;
mod verify;

/// Media type of archives.
const TAR: &str = "application/x-tar";

/// Does what was asked for.
///
/// # Errors
/// Wrong options, a service or data folder that can't be used, a check that came out negative.
pub(crate) async fn run(args: &CodebookArgs) -> Result<()> {
    match &args.command {
        CodebookCommand::Stats(target) => stats(target).await,
        CodebookCommand::Export { file, target } => export(file, target).await,
        CodebookCommand::Import { file, target } => import(file, target).await,
        CodebookCommand::Salvage { out, archives, settings } => {
            salvage::run(out, archives.as_deref(), settings)
        }
        CodebookCommand::Verify { codebook, json, settings } => {
            verify::run(codebook.as_deref(), *json, settings)
        }
    }
}

async fn stats(args: &TargetArgs) -> Result<()> {
    let value = match Target::open_existing(args).await? {
        Target::Remote(client) => client.get("codebook").await?,
        Target::Local(local, name) => {
            let stats = local.editor.codebook(&name).await.map_err(service::refused)?;
            shape::stats(&args.codebook, &stats)
        }
    };
    if args.json { output::print_json(&value) } else { output::print(&render::stats(&value)) }
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

async fn export(file: &Path, args: &TargetArgs) -> Result<()> {
    let out = if is_standard(file) { None } else { Some(UnfinishedFile::create(file)?) };
    let said = match Target::open_existing(args).await? {
        Target::Remote(client) => {
            let count = match &out {
                None => client.download("codebook/export", file, &mut tokio::io::stdout()).await?,
                Some(out) => {
                    let mut writer = tokio::fs::File::from_std(out.open()?);
                    client.download("codebook/export", file, &mut writer).await?
                }
            };
            output::bytes(count)
        }
        Target::Local(local, name) => {
            let writer: Box<dyn Write + Send> = match &out {
                None => Box::new(io::stdout()),
                Some(out) => Box::new(io::BufWriter::new(out.open()?)),
            };
            let summary = local.editor.export(&name, writer).await.map_err(service::refused)?;
            format!("{} edits, {} pictures", summary.edits, summary.images)
        }
    };
    if let Some(out) = out {
        out.keep()?;
        output::note(&format!("{}: {said}", file.display()));
    }
    Ok(())
}

async fn import(file: &Path, args: &TargetArgs) -> Result<()> {
    let value = match Target::open(args).await? {
        Target::Remote(client) if is_standard(file) => {
            client.upload("codebook/import", TAR, tokio::io::stdin()).await?
        }
        Target::Remote(client) => {
            let reader = tokio::fs::File::open(file).await.map_err(|error| CliError::file(file, error))?;
            client.upload("codebook/import", TAR, reader).await?
        }
        Target::Local(local, name) => {
            let reader: Box<dyn Read + Send> = if is_standard(file) {
                Box::new(io::stdin())
            } else {
                Box::new(std::fs::File::open(file).map_err(|error| CliError::file(file, error))?)
            };
            let options = ImportOptions::new(local.import_bytes);
            let summary = local.editor.import(&name, reader, options, CallContext::default()).await;
            shape::import(summary.map_err(service::refused)?)
        }
    };
    if args.json {
        return output::print_json(&value);
    }
    output::print(&format!(
        "{} edits taken in, {} were there already, {} pictures",
        value["edits"], value["skipped"], value["images"]
    ))
}
