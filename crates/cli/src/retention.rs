//! Erases what is kept too long, while the service serves.

use std::time::Duration;

use reasonedit_audit::{AuditCaller, AuditEvent, AuditOutcome, AuditRecord, AuditTrail};
use reasonedit_editor::{Editor, ErasureView};
use time::OffsetDateTime;

use crate::settings::RetentionSettings;

/// How often it is looked for.
const EVERY: Duration = Duration::from_hours(1);

/// Looks at once and every hour, until it is dropped: what was begun then is ended at the next start.
pub(crate) async fn keep(editor: Editor, settings: RetentionSettings, trail: Option<AuditTrail>) {
    let mut times = tokio::time::interval(EVERY);
    loop {
        times.tick().await;
        let days = time::Duration::days(settings.reverted_days.into());
        // As a request: nothing is erased while the trail can't tell of it, where the settings refuse that.
        if let Some(Err(error)) = trail.as_ref().map(AuditTrail::ready) {
            tracing::error!(%error, "what was taken back too long ago is not erased now");
            continue;
        }
        // So many days ago there was nothing.
        let Some(before) = OffsetDateTime::now_utc().checked_sub(days) else { return };
        match editor.erase_reverted_before(before, |erased| note(trail.as_ref(), erased)).await {
            Ok(0) => {}
            Ok(edits) => tracing::info!(edits, "erased what had been taken back too long ago"),
            Err(error) => tracing::error!(%error, "what was taken back too long ago can't be erased"),
        }
    }
}

/// Tells the audit trail what was erased.
fn note(trail: Option<&AuditTrail>, erased: &ErasureView) {
    let Some(trail) = trail else { return };
    trail.append(&AuditRecord {
        event: AuditEvent::Retention,
        caller: Some(AuditCaller::Service),
        outcome: Some(AuditOutcome::Answered),
        codebook: erased.edits.first().map(|(codebook, _)| codebook.to_string()),
        edits: erased.edits.iter().map(|(_, edit)| edit.to_string()).collect(),
        images: erased.picture.iter().map(ToString::to_string).collect(),
        ..AuditRecord::default()
    });
}

#[cfg(test)]
mod tests;
