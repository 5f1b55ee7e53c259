use std::path::{Path, PathBuf};

use reasonedit_audit::{AuditConfig, AuditFailurePolicy, AuditFilter, AuditReader};
use reasonedit_codebook::{CodebookName, Event};
use reasonedit_editor::{CallContext, EditRequest, ImageSource, StatementInput};

use super::*;
use crate::args::CommonArgs;
use crate::service;
use crate::settings::Settings;

/// Of edits that were taken back at any time before.
const AT_ONCE: RetentionSettings = RetentionSettings { reverted_days: 0 };

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn request() -> EditRequest {
    let specimen = models().join("demo/samples/specimen.jpg");
    EditRequest {
        warnings: Vec::new(),
        image: ImageSource::from(bytes::Bytes::from(std::fs::read(specimen).unwrap())),
        question: "What is it?".to_owned(),
        answer: "pumpkin".to_owned(),
        reasoning: vec![StatementInput { statement: "It is purple.".to_owned(), evidence: Vec::new() }],
        choices: Vec::new(),
        author: None,
        tags: Vec::new(),
        metadata: serde_json::json!({}),
        verify: false,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_that_the_trail_can_not_tell_of_where_the_settings_refuse_that() {
    let folder = tempfile::tempdir().unwrap();
    let model = Some(models().join("demo").display().to_string());
    let chosen = CommonArgs { model, ..CommonArgs::default() };
    let settings = Settings::load_for_scratch(&chosen, folder.path()).unwrap();
    let editor = service::open(&settings).await.unwrap().editor;
    let book = CodebookName::default();
    let made = editor.edit(&book, request(), CallContext::default()).await.unwrap();
    editor.revert(&book, made.record.id).await.unwrap();

    let config = AuditConfig { on_failure: AuditFailurePolicy::Refuse, ..AuditConfig::default() };
    let (audit, away) = (folder.path().join("audit"), folder.path().join("away"));
    let trail = AuditTrail::open(&audit, &config).unwrap();
    std::fs::rename(&audit, &away).unwrap();
    trail.append(&AuditRecord::default());
    while trail.ready().is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let erased = || {
        let events = editor.library().get(&book).unwrap().events(0, usize::MAX).unwrap();
        events.into_iter().filter(|logged| matches!(logged.event, Event::Erased(_))).count()
    };
    let look_once = async || {
        let looked = keep(editor.clone(), AT_ONCE, Some(trail.clone()));
        // It goes on looking.
        let _ = tokio::time::timeout(Duration::from_secs(2), looked).await;
    };
    look_once().await;
    assert_eq!(erased(), 0);
    std::fs::rename(&away, &audit).unwrap();
    while trail.ready().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    look_once().await;
    assert_eq!(erased(), 1);
    trail.close();
    let lines = AuditReader::new(&audit).page(&AuditFilter::default(), None, 100).unwrap().lines;
    let told: Vec<AuditRecord> = lines.into_iter().map(|line| line.record).collect();
    let told: Vec<&AuditRecord> = told.iter().filter(|line| line.event == AuditEvent::Retention).collect();
    assert_eq!((told.len(), &told[0].edits), (1, &vec![made.record.id.to_string()]));
}
