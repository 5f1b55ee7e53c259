//! `serve`: listens first, loads the model beside, says what to try, drains when told to stop.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use reasonedit_audit::AuditTrail;
use reasonedit_resilience::blocking;
use reasonedit_server::{EditorSlot, HomePage, Server, ServerError, TlsConfig};
use serde::Deserialize;
use tokio::sync::watch;

use crate::args::ServeArgs;
use crate::error::{CliError, Result};
use crate::settings::{ModelSources, Settings};
use crate::{allocator, logging, output, retention, service, sources};

/// How far the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has a reason to stop.
    Running,
    /// A signal came.
    Stopping,
    /// It can't be made ready.
    Failed,
}

/// Serves until SIGINT or SIGTERM, or until the model turns out not to load.
///
/// # Errors
/// Wrong settings, an address that is taken, a data folder in use, a model that can't be loaded.
pub(crate) async fn run(args: &ServeArgs) -> Result<()> {
    let began = Instant::now();
    let settings = Settings::load_for_serve(args)?;
    logging::start(&settings.log, false)?;
    let sources = settings.model.sources()?;
    let sets = sources::sources(&settings.modularity.datasets)?;
    let opening = settings.clone();
    let tokens = blocking(move || service::tokens(&opening)).await?;
    let samples = sources.samples.as_deref().filter(|_| settings.model.is_demo());
    let page = HomePage::new(settings.page, samples);
    let (server, slot) =
        Server::with_page(settings.server.clone(), Arc::new(tokens), page).map_err(CliError::failed)?;
    slot.offer(sets);
    let listener = server.bind().await.map_err(|error| match error {
        ServerError::Bind { .. } => CliError::Failed(format!(
            "{error}\nChoose another address: --bind 127.0.0.1:PORT (port 0 takes a free one)"
        )),
        other => CliError::failed(other),
    })?;
    let probes = server.probes().await.map_err(CliError::failed)?;
    let opening = settings.clone();
    let trail = blocking(move || service::audit(&opening)).await?;
    if let Some(trail) = &trail {
        slot.audit(trail.clone());
    }
    let address = listener.local_addr().map_err(|error| CliError::file("listener", error))?;
    if let Some(probes) = &probes {
        tracing::info!(address = %probes.address(), "probes are answered");
    }
    tracing::info!(%address, model = %sources.vlm, data = %settings.data.display(), "listening; the model is being loaded");

    // Whoever sees a reason to stop says so here: a signal, or a model that doesn't load.
    let (stop, mut stopped) = watch::channel(Phase::Running);
    tokio::spawn(signals(stop.clone()));
    let starting =
        tokio::spawn(start(settings, sources, slot.clone(), trail.clone(), (address, began), stop.clone()));
    let giving_back = tokio::spawn(allocator::give_back(server.memory()));
    let drained = server
        .serve(listener, async move {
            // The sender outlives this: it is dropped at the end of the function.
            let _ = stopped.wait_for(|phase| *phase != Phase::Running).await;
        })
        .await;
    giving_back.abort();
    drop(probes);
    let failed = *stop.borrow() == Phase::Failed;
    let started = if failed { starting.await.map_err(CliError::failed)? } else { Ok(()) };
    if let Some(editor) = slot.get() {
        editor.shutdown().await;
    }
    // After the last request. It waits for the disk.
    if let Some(trail) = trail {
        blocking(move || {
            trail.close();
            Ok::<_, CliError>(())
        })
        .await?;
    }
    if drained {
        tracing::info!("stopped");
    }
    started
}

/// Opens the data folder, waits for the model, and makes the service ready.
async fn start(
    settings: Settings,
    model: ModelSources,
    slot: EditorSlot,
    trail: Option<AuditTrail>,
    (address, began): (SocketAddr, Instant),
    stop: watch::Sender<Phase>,
) -> Result<()> {
    let (samples, tls) = (model.samples.clone(), settings.server.tls != TlsConfig::default());
    let jobs = service::jobs_folder(&settings);
    let made = async {
        let engines = service::start_engines(&settings, model)?;
        let opening = settings.clone();
        let (library, images) = blocking(move || service::open_library(&opening)).await?;
        let library = Arc::new(library);
        if let Some(backups) = service::backups(&settings, &images)? {
            slot.back_up(backups);
        }
        slot.open(&library).map_err(|error| CliError::Failed(format!("data folder: {error}")))?;
        service::editor(&settings, engines, library, images).await
    };
    match made.await {
        Ok(editor) => {
            if let Err(error) = slot.fill(editor, &jobs) {
                stop.send_replace(Phase::Failed);
                return Err(CliError::Failed(format!("data folder: {error}")));
            }
            if let Some(editor) = slot.get().filter(|_| settings.retention.reverted_days > 0) {
                tokio::spawn(retention::keep(editor.clone(), settings.retention, trail));
            }
            tracing::info!(%address, ms = began.elapsed().as_millis(), "ready");
            if output::on_terminal() {
                output::note(&what_to_try(&reachable(address, tls), samples.as_deref()));
            }
            Ok(())
        }
        Err(error) => {
            stop.send_replace(Phase::Failed);
            Err(error)
        }
    }
}

/// Tells of the first SIGINT or SIGTERM; the second ends the process at once.
async fn signals(stop: watch::Sender<Phase>) {
    for turn in 0..2 {
        signal().await;
        if turn == 0 {
            stop.send_replace(Phase::Stopping);
            if output::on_terminal() {
                output::note("stopping; once more ends at once");
            }
        }
    }
    std::process::exit(1);
}

/// Waits for SIGINT or SIGTERM.
#[cfg(unix)]
pub(crate) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without it Ctrl-C still works.
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// The address a person can open: a wildcard address is reached through loopback.
fn reachable(address: SocketAddr, tls: bool) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    format!("{}://{host}:{}", if tls { "https" } else { "http" }, address.port())
}

/// A correction that can be tried.
#[derive(Debug, Deserialize, PartialEq)]
struct Sample {
    image: PathBuf,
    question: String,
    answer: String,
    #[serde(default)]
    reasoning: Vec<String>,
}

/// The first native record among the samples that come with the model, if there is one.
fn sample(samples: &Path) -> Option<Sample> {
    let records = std::fs::read_to_string(samples.join("edits.jsonl")).ok()?;
    let mut sample: Sample = serde_json::from_str(records.lines().next()?).ok()?;
    sample.image = samples.join(sample.image);
    sample.image.is_file().then_some(sample)
}

/// The first picture among them.
fn picture(samples: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(samples).ok()?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.extension().is_some_and(|e| e == "jpg" || e == "png")).min()
}

/// A text within single quotes of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn what_to_try(url: &str, samples: Option<&Path>) -> String {
    let sample = samples.and_then(sample).unwrap_or_else(|| Sample {
        image: samples.and_then(picture).unwrap_or_else(|| "PICTURE.png".into()),
        question: "What is this thing called?".to_owned(),
        answer: "zorb".to_owned(),
        reasoning: vec!["This thing is called a zorb.".to_owned()],
    });
    let image = quoted(&format!("image=@{}", sample.image.display()));
    let question = quoted(&format!("question={}", sample.question));
    let mut correction = format!(
        "curl {url}/edits -F {image} --form-string {question} --form-string {}",
        quoted(&format!("answer={}", sample.answer))
    );
    for statement in &sample.reasoning {
        let _ = write!(correction, " \\\n      --form-string {}", quoted(&format!("reasoning={statement}")));
    }
    format!(
        "\n  reasonedit serves {url}   docs, and a page to try it: {url}/docs\n\n  \
         Ask about a picture:\n    curl {url}/query -F {image} --form-string {question}\n\n  \
         Correct the answer, and ask again:\n    {correction}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_given_an_address_that_can_be_opened() {
        let of = |text: &str| reachable(text.parse().unwrap(), false);
        assert_eq!(of("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(of("192.168.1.7:80"), "http://192.168.1.7:80");
        assert_eq!(of("[::1]:8080"), "http://[::1]:8080");
    }

    #[test]
    fn the_lines_to_try_are_of_the_first_sample() {
        let folder = tempfile::tempdir().unwrap();
        let url = "http://127.0.0.1:8080";
        assert!(what_to_try(url, Some(folder.path())).contains("'image=@PICTURE.png'"));
        for name in ["b.png", "a.jpg", "0.txt"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let shown = what_to_try(url, Some(folder.path()));
        assert!(shown.contains(&format!("'image=@{}'", folder.path().join("a.jpg").display())), "{shown}");
        let record = r#"{"image": "images/a.png", "question": "What's it?", "answer": "zorb", "uid": "1",
            "reasoning": ["It has a rim.", "Zorbs have rims."]}"#;
        std::fs::write(folder.path().join("edits.jsonl"), record.replace('\n', " ") + "\n{}\n").unwrap();
        assert_eq!(sample(folder.path()), None);
        std::fs::create_dir(folder.path().join("images")).unwrap();
        std::fs::write(folder.path().join("images/a.png"), b"").unwrap();
        let shown = what_to_try(url, Some(folder.path()));
        assert!(
            shown.contains(&format!("'image=@{}'", folder.path().join("images/a.png").display())),
            "{shown}"
        );
        assert!(shown.contains(r"--form-string 'question=What'\''s it?'"), "{shown}");
        assert!(
            shown.contains(
                "--form-string 'reasoning=It has a rim.' \\\n      --form-string 'reasoning=Zorbs have rims.'"
            ),
            "{shown}"
        );
        assert!(shown.contains("http://127.0.0.1:8080/docs"), "{shown}");
    }
}
