//! `edit --batch`: many edits as one job of a service, which without `--server` is one of our own on the data
//! folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reasonedit_server::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::oneshot;

use super::target::Target;
use crate::args::EditArgs;
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{output, service};

/// Between two looks at the job.
const PAUSE: Duration = Duration::from_millis(300);
/// Looks in a row that may fail: a service that is started again goes on with the job.
const PATIENCE: u32 = 200;
/// Where a tar says that it is one.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Uploads the file, follows the job to its end, and tells what became of every line.
///
/// # Errors
/// A file that can't be read, an upload that is refused, a job that fails; lines that made no edit.
pub(crate) async fn run(file: &Path, args: &EditArgs) -> Result<()> {
    match Target::open(&args.target).await? {
        Target::Remote(client) => upload_and_follow(file, args, &client).await,
        Target::Local(local, _) => {
            let settings = Settings::load(&args.target.settings)?;
            let editor = local.editor.clone();
            with_own_service(settings, editor, &args.target.codebook, async |client| {
                upload_and_follow(file, args, client).await
            })
            .await
        }
    }
}

/// Does something with a service of our own, which nobody else is let into.
async fn with_own_service<T>(
    settings: Settings,
    editor: reasonedit_editor::Editor,
    codebook: &str,
    work: impl AsyncFnOnce(&Client) -> Result<T>,
) -> Result<T> {
    let token = ulid::Ulid::new().to_string();
    let mut config = settings.server.clone();
    config.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    config.auth_tokens = vec![token.clone()];
    let (server, slot) = Server::new(config).map_err(CliError::failed)?;
    let listener = server.bind().await.map_err(CliError::failed)?;
    let address = listener.local_addr().map_err(CliError::failed)?;
    slot.offer(crate::sources::sources(&settings.modularity.datasets)?);
    slot.fill(editor.clone(), &service::jobs_folder(&settings)).map_err(CliError::failed)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async { drop(stopped.await) }));
    let client = Client::new(&format!("http://{address}"), Some(token), codebook)?;
    let done = work(&client).await;
    drop(stop);
    serving.await.map_err(CliError::failed)?;
    editor.shutdown().await;
    done
}

async fn upload_and_follow(file: &Path, args: &EditArgs, client: &Client) -> Result<()> {
    let (reader, media_type) = open(file).await?;
    let path = if args.no_verify { "edits/batch?verify=false" } else { "edits/batch" };
    let submitted = client.upload(path, media_type, reader).await?;
    let id = submitted["id"]
        .as_str()
        .ok_or_else(|| CliError::Failed("the answer of the service names no job".to_owned()))?;
    output::note(&format!("job {id}"));
    let job = follow(client, id, submitted.clone()).await?;
    let failed = tell_results(client, id, args.target.json).await?;
    match job["state"].as_str() {
        Some("done") if failed == 0 => Ok(()),
        Some("done") => Err(CliError::CheckFailed(format!("{failed} lines made no edit"))),
        state => {
            let detail = job["error"]["detail"].as_str().unwrap_or("see its results");
            Err(CliError::Failed(format!("job {id}: {}: {detail}", state.unwrap_or("unknown"))))
        }
    }
}

/// The file, and what it is: a tar says so in its first header.
async fn open(path: &Path) -> Result<(tokio::fs::File, &'static str)> {
    let wrong = |error| CliError::file(path, error);
    let mut file = tokio::fs::File::open(path).await.map_err(wrong)?;
    let mut head = Vec::new();
    let wanted = (TAR_MAGIC.0 + TAR_MAGIC.1.len()) as u64;
    (&mut file).take(wanted).read_to_end(&mut head).await.map_err(wrong)?;
    file.rewind().await.map_err(wrong)?;
    let is_tar = head.get(TAR_MAGIC.0..).is_some_and(|magic| magic == TAR_MAGIC.1);
    Ok((file, if is_tar { "application/x-tar" } else { "application/x-ndjson" }))
}

/// Shows how far a job is until it has ended.
///
/// # Errors
/// A service that can't be asked for long.
pub(super) async fn follow(client: &Client, id: &str, submitted: Value) -> Result<Value> {
    let path = format!("jobs/{id}");
    let bars = Stages::default();
    let (mut job, mut failures) = (submitted, 0);
    while matches!(job["state"].as_str(), Some("queued" | "running")) {
        tokio::time::sleep(PAUSE).await;
        match client.get(&path).await {
            Ok(now) => (job, failures) = (now, 0),
            Err(error) => {
                failures += 1;
                if failures > PATIENCE {
                    return Err(error);
                }
            }
        }
        let progress = &job["progress"];
        let count = |name: &str| progress[name].as_u64().unwrap_or(0);
        bars.set(progress["stage"].as_str().unwrap_or_default(), count("done"), count("total"));
    }
    bars.finish();
    Ok(job)
}

/// Prints what became of the lines; says how many made no edit.
async fn tell_results(client: &Client, id: &str, as_json: bool) -> Result<u64> {
    let mut lines = Vec::new();
    client.download(&format!("jobs/{id}/results"), Path::new("results"), &mut lines).await?;
    let (mut made, mut proposed, mut failed) = (0u64, 0u64, 0u64);
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).map_err(CliError::failed)?;
        let (edit, proposal) = (row["edit"].is_string(), row["proposal"].is_string());
        let ok = edit || proposal;
        *(if edit {
            &mut made
        } else if proposal {
            &mut proposed
        } else {
            &mut failed
        }) += 1;
        if as_json {
            output::print_json_line(&row)?;
        } else if !ok {
            let problem = &row["problem"];
            let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or_default();
            output::print(&format!("line {}: {} {detail}", row["line"], row["status"]))?;
        }
    }
    if !as_json {
        let waiting = if proposed > 0 { format!("{proposed} wait for approval, ") } else { String::new() };
        output::print(&format!("{made} edits made, {waiting}{failed} lines failed"))?;
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tar_is_told_from_lines_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let media_type = async |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let (mut file, media_type) = open(&path).await.unwrap();
            let mut whole = Vec::new();
            file.read_to_end(&mut whole).await.unwrap();
            assert_eq!(whole, bytes, "from its beginning");
            media_type
        };
        assert_eq!(media_type("short.jsonl", b"{}\n").await, "application/x-ndjson");
        assert_eq!(media_type("long.tar", &[b' '; 5000]).await, "application/x-ndjson");
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(media_type("world", &tar).await, "application/x-tar");
    }
}
