//! `/metrics`.

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use reasonedit_access::Caller;
use reasonedit_api::problems::LookupProblems;
use reasonedit_api::require_all_codebooks;
use reasonedit_audit::AuditState;
use reasonedit_dto::job::JobKind;
use reasonedit_editor::{CodebookName, Editor, EngineStats, Stats};
use reasonedit_http::metrics::{MetricKind, TEXT_FORMAT, Text};
use reasonedit_http::problem::{Problem, Result};
use reasonedit_integration::MetricFamily;
use reasonedit_jobs::JobState;
use reasonedit_resilience::blocking;

use crate::state::AppState;

/// Codebooks that are told of one by one; clients choose the names, and series must not grow without bound.
const MAX_CODEBOOKS: usize = 100;

/// Metrics in the Prometheus text format
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "service",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"), LookupProblems),
)]
pub(crate) async fn metrics(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
) -> Result<Response> {
    require_all_codebooks(&caller)?;
    let mut text = Text::default();
    state.metrics().write(&mut text);
    let editor = state.ready_editor();
    text.single(
        "reasonedit_ready",
        MetricKind::Gauge,
        "Whether the model is loaded and the codebook open.",
        f64::from(u8::from(editor.is_some())),
    );
    write_audit(&mut text, &state);
    write_backups(&mut text, &state).await;
    if let Some(editor) = editor {
        write_engine(&mut text, &editor.engine_stats());
        write_jobs(&mut text, &state);
        write_codebooks(&mut text, editor).await;
        for integration in state.integrations() {
            for family in integration.metrics().await {
                write_family(&mut text, &family);
            }
        }
    }
    let text = text.finish().map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}

fn write_engine(text: &mut Text, stats: &EngineStats) {
    let rows: [(&str, MetricKind, &str, f64); 16] = [
        ("queue_depth", MetricKind::Gauge, "Requests waiting for the model.", stats.queue_depth as f64),
        ("queue_capacity", MetricKind::Gauge, "Requests that may wait at once.", stats.queue_capacity as f64),
        ("generations", MetricKind::Gauge, "Answers being generated.", stats.generations as f64),
        (
            "cache_bytes",
            MetricKind::Gauge,
            "Bytes in the cache of features and prefixes.",
            stats.cache_bytes as f64,
        ),
        ("cache_entries", MetricKind::Gauge, "Entries in it.", stats.cache_entries as f64),
        (
            "cache_hits_total",
            MetricKind::Counter,
            "Pictures of which everything was cached.",
            stats.cache_hits as f64,
        ),
        (
            "cache_misses_total",
            MetricKind::Counter,
            "Pictures of which something was computed.",
            stats.cache_misses as f64,
        ),
        ("batches_total", MetricKind::Counter, "Batches run.", stats.batches as f64),
        ("answered_total", MetricKind::Counter, "Engine requests answered.", stats.answered as f64),
        ("failed_total", MetricKind::Counter, "Engine requests that failed.", stats.failed as f64),
        (
            "skipped_total",
            MetricKind::Counter,
            "Engine requests dropped before any work.",
            stats.skipped as f64,
        ),
        (
            "refused_total",
            MetricKind::Counter,
            "Engine requests refused by a full queue.",
            stats.refused as f64,
        ),
        (
            "panics_total",
            MetricKind::Counter,
            "Panics of the model that were contained.",
            stats.panics as f64,
        ),
        ("images_total", MetricKind::Counter, "Pictures run through the vision side.", stats.images as f64),
        ("tokens_total", MetricKind::Counter, "Tokens run through the language side.", stats.tokens as f64),
        (
            "busy_seconds_total",
            MetricKind::Counter,
            "Seconds in which the model computed.",
            stats.busy_seconds,
        ),
    ];
    for (name, kind, help, value) in rows {
        text.single(&format!("reasonedit_engine_{name}"), kind, help, value);
    }
}

fn write_audit(text: &mut Text, state: &AppState) {
    let Some(trail) = state.audit().trail() else { return };
    let AuditState { failing, written, lost, .. } = trail.state();
    let rows = [
        (
            "writable",
            MetricKind::Gauge,
            "Whether the audit trail can be written.",
            f64::from(u8::from(failing.is_none())),
        ),
        ("lines_total", MetricKind::Counter, "Lines of the audit trail written.", written as f64),
        ("lost_total", MetricKind::Counter, "Lines of the audit trail lost.", lost as f64),
    ];
    for (name, kind, help, value) in rows {
        text.single(&format!("reasonedit_audit_{name}"), kind, help, value);
    }
}

/// When the newest backup was begun: whoever watches sees that none came for too long.
async fn write_backups(text: &mut Text, state: &AppState) {
    let Some(backups) = state.backups().cloned() else { return };
    let newest = blocking(move || Ok::<_, Problem>(backups.newest())).await.ok().flatten();
    text.single(
        "reasonedit_backup_newest_timestamp_seconds",
        MetricKind::Gauge,
        "When the newest backup was begun, in seconds since 1970; 0 if there is none.",
        newest.map_or(0.0, |at| at.unix_timestamp() as f64),
    );
}

fn write_family(text: &mut Text, family: &MetricFamily) {
    text.family(&family.name, family.kind, family.help);
    for sample in &family.samples {
        let labels: Vec<_> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        text.sample(&labels, sample.value);
    }
}

fn write_jobs(text: &mut Text, state: &AppState) {
    let Ok(jobs) = state.jobs() else { return };
    text.family("reasonedit_jobs", MetricKind::Gauge, "Jobs that have not ended.");
    let counts = jobs.unfinished();
    for kind in JobKind::ALL {
        for (state, name) in [(JobState::Queued, "queued"), (JobState::Running, "running")] {
            let count = counts.get(&(kind.name(), state)).copied().unwrap_or(0);
            text.sample(&[("kind", kind.name()), ("state", name)], count as f64);
        }
    }
}

/// One number of a codebook.
type Count = fn(&Stats) -> f64;

async fn write_codebooks(text: &mut Text, editor: &Editor) {
    let mut rows = Vec::new();
    let mut names: Vec<CodebookName> = editor.open_codebooks().into_iter().map(|book| book.name).collect();
    names.truncate(MAX_CODEBOOKS);
    for name in names {
        // A codebook that can't be read must not hide everything else.
        if let Ok(stats) = editor.codebook(&name).await {
            rows.push((name, stats));
        }
    }
    let families: [(&str, &str, Count); 4] = [
        ("edits", "Live edits.", |s| s.edits as f64),
        ("members", "Entries of live edits.", |s| s.members as f64),
        ("keys", "Keys after merging.", |s| s.keys as f64),
        ("bytes", "Bytes of keys and values.", |s| s.bytes_merged as f64),
    ];
    for (row, help, value) in families {
        let family = format!("reasonedit_codebook_{row}");
        text.family(&family, MetricKind::Gauge, help);
        for (name, stats) in &rows {
            text.sample(&[("codebook", name.as_str())], value(stats));
        }
    }
}
