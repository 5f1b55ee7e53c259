//! Logs by tracing: for people on a terminal, JSON lines otherwise.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::uptime;

use crate::error::{CliError, Result};
use crate::output;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people when the standard error is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// A JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSettings {
    /// Least level, or a filter by module (`info`, `warn,reasonedit=debug`). The variables
    /// `REASONEDIT_LOG` and `RUST_LOG` come before it.
    pub(crate) level: String,
    /// How lines look.
    pub(crate) format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// Warnings, and how far long work is.
const QUIET: &str = "warn,reasonedit::progress=info";

/// Starts logging to the standard error. `quiet` raises the configured level to warnings and progress:
/// subcommands that answer one question say what they do themselves.
///
/// # Errors
/// A filter that can't be read, with the place it came from.
pub(crate) fn start(settings: &LogSettings, quiet: bool) -> Result<()> {
    let asked = ["REASONEDIT_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|value| (name, value)));
    let configured = if quiet { QUIET.to_owned() } else { settings.level.clone() };
    let (from, filter) = asked.unwrap_or(("log.level", configured));
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| CliError::Usage(format!("{from}: `{filter}` is no log filter: {error}")))?;
    let pretty = match settings.format {
        LogFormat::Auto => output::on_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if pretty {
        let _ = builder.with_timer(uptime()).with_target(false).with_ansi(output::on_terminal()).try_init();
    } else {
        let _ = builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init();
    }
    Ok(())
}
