//! Stored pictures and codebooks that decayed, as whoever edits and asks meets them.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reasonedit_codebook::{
    CodebookError, CodebookName, CodebookStore, EditFilter, EditId, EventOrigin, HarmedImage, ImageHarm,
    ImageStore, MemberId, SledStore,
};
use reasonedit_failure::{Classify, FailureKind};
use reasonedit_training_data::{Trainer, TrainingOptions, TrainingTask};

use crate::archive::ImportOptions;
use crate::editor::Editor;
use crate::error::EditorError;
use crate::testing::{self, edit, engine, open, picture, request};
use crate::types::{CallContext, ImageSource, QueryRequest};

/// Counts what is written to it.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn path(folder: &Path, image: &str) -> PathBuf {
    folder.join("images").join(&image[..2]).join(image)
}

fn is_damaged(error: EditorError) -> bool {
    error.classify().kind == FailureKind::Damaged
}

async fn exported(editor: &Editor) -> Result<Vec<u8>, EditorError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    editor.export(&CodebookName::default(), file.reopen().unwrap()).await?;
    Ok(fs::read(file.path()).unwrap())
}

#[tokio::test]
async fn a_damaged_picture_is_told_before_a_byte_is_exported_and_healed_by_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("mpnet-1");
    let editor = open(folder.path(), &engine, testing::config()).await.unwrap();
    let id = edit(&editor, 0).await.record.image.id;
    edit(&editor, 1).await;
    let whole = exported(&editor).await.unwrap();
    let file = path(folder.path(), &id.to_string());
    let bytes = fs::read(&file).unwrap();
    for (decayed, harm) in [
        (Some([&bytes[..20], &[bytes[20] ^ 1], &bytes[21..]].concat()), ImageHarm::Changed),
        (Some(bytes[..bytes.len() - 1].to_vec()), ImageHarm::Changed),
        (Some(Vec::new()), ImageHarm::Empty),
        (None, ImageHarm::Missing),
    ] {
        for by_import in [false, true] {
            match &decayed {
                Some(decayed) => fs::write(&file, decayed).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let written = Counted::default();
            let error = editor.export(&CodebookName::default(), written.clone()).await.unwrap_err();
            match &error {
                EditorError::Codebook(CodebookError::HarmedImages(harmed)) => {
                    assert_eq!(harmed, &[HarmedImage { id, harm }]);
                }
                other => panic!("{other}"),
            }
            assert!(error.to_string().contains(&id.to_string()), "{error}");
            assert!(is_damaged(error));
            assert_eq!(written.0.load(Ordering::SeqCst), 0, "nothing was written");
            match editor.image(id).await.unwrap_err() {
                EditorError::UnknownImage(_) => assert_eq!(decayed, None),
                error => assert!(is_damaged(error)),
            }
            let asked = QueryRequest::new(ImageSource::Known(id), "What is it?");
            assert!(editor.query(&CodebookName::default(), asked, CallContext::default()).await.is_err());

            if by_import {
                let options = ImportOptions::new(64 << 20);
                let archive = Cursor::new(whole.clone());
                editor
                    .import(&CodebookName::default(), archive, options, CallContext::default())
                    .await
                    .unwrap();
            } else {
                // Into another codebook: pictures are shared.
                let other: CodebookName = "other".parse().unwrap();
                editor.edit(&other, request(0), CallContext::default()).await.unwrap();
            }
            assert_eq!(fs::read(&file).unwrap(), bytes);
            assert_eq!(exported(&editor).await.unwrap(), whole);
        }
    }
}

#[tokio::test]
async fn what_was_being_written_when_the_process_was_killed_is_gone_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("mpnet-1");
    let editor = open(folder.path(), &engine, testing::config()).await.unwrap();
    let id = edit(&editor, 0).await.record.image.id;
    drop(editor);
    let left = path(folder.path(), &id.to_string()).with_file_name(".new-xyz");
    fs::write(&left, b"half").unwrap();
    let editor = open(folder.path(), &engine, testing::config()).await.unwrap();
    assert!(!left.exists());
    editor.image(id).await.unwrap();
}

/// A codebook whose keys are not what its head says: nothing that would be written can be read so.
fn damaged_codebook(folder: &Path, from: &Editor, name: &CodebookName) {
    let snapshot = testing::book(from).snapshot();
    let mut record = snapshot.edits().next().unwrap().as_ref().clone();
    let mut member = snapshot.members_of(record.id).next().unwrap().as_ref().clone();
    record.id = EditId(ulid::Ulid::new());
    (member.id, member.edit) = (MemberId::derive(record.id, 0), record.id);
    member.key = vec![1.0; 3];
    let store = SledStore::open(&folder.join("codebooks")).unwrap();
    let generation = snapshot.generation().unwrap();
    store.commit_edit(name, &record, &[member], Some(&generation), EventOrigin::Direct).unwrap();
}

#[tokio::test]
async fn a_damaged_codebook_refuses_everything_and_the_others_are_served() {
    let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine("mpnet-1");
    let from = open(source.path(), &engine, testing::config()).await.unwrap();
    edit(&from, 7).await;
    let name: CodebookName = "ward-3".parse().unwrap();
    damaged_codebook(folder.path(), &from, &name);
    // What an import left that was killed may be what the damaged codebook refers to.
    let images = ImageStore::open(&folder.path().join("images")).unwrap();
    let mut staged = images.stage().unwrap();
    let kept = staged.put(b"of a damaged codebook, perhaps").unwrap();
    staged.install().unwrap();
    std::mem::forget(staged);

    let editor = open(folder.path(), &engine, testing::config()).await.unwrap();
    assert!(images.contains(kept));
    let aside = editor.damaged_codebooks();
    assert_eq!(aside.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&name]);
    assert!(aside[0].1.to_string().contains("salvage"), "{}", aside[0].1);
    let call = CallContext::default();
    let id = edit(&editor, 0).await.record.id;
    let question = || QueryRequest::new(picture(0), "What is it?");
    editor.query(&CodebookName::default(), question(), call).await.unwrap();

    assert!(is_damaged(editor.edit(&name, request(1), call).await.unwrap_err()));
    assert!(is_damaged(editor.query(&name, question(), call).await.unwrap_err()));
    assert!(is_damaged(editor.revert(&name, id).await.unwrap_err()));
    assert!(is_damaged(editor.get_edit(&name, id).await.unwrap_err()));
    assert!(is_damaged(editor.list_edits(&name, EditFilter::default(), None, 9).await.unwrap_err()));
    assert!(is_damaged(editor.codebook(&name).await.unwrap_err()));
    assert!(is_damaged(editor.entries(&name, None, 9).await.unwrap_err()));
    assert!(is_damaged(editor.export(&name, Counted::default()).await.unwrap_err()));
    assert!(is_damaged(
        editor
            .training_data(&name, TrainingOptions::new(Trainer::Trl, TrainingTask::Sft), Counted::default())
            .await
            .unwrap_err()
    ));
    let archive = Cursor::new(exported(&from).await.unwrap());
    assert!(is_damaged(editor.import(&name, archive, ImportOptions::new(64 << 20), call).await.unwrap_err()));

    let listed = editor.codebooks(None, 9, |_| true).items;
    let told: Vec<(&str, bool)> = listed.iter().map(|b| (b.name.as_str(), b.damaged.is_some())).collect();
    assert_eq!(told, [("default", false), ("ward-3", true)]);
    assert_eq!(editor.open_codebooks().len(), 1);
}
