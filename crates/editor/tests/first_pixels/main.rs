//! A codebook that was stored before the rules of pixels were part of its embedding. It opens and answers as
//! it did; what is added to it is made by the same rules; it moves over by being embedded anew, and goes
//! back. `README.md` beside this file says what made it.

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

mod world;

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use reasonedit_codebook::{CodebookName, MemberId, Seeds};
use reasonedit_editor::Warning;
use reasonedit_editor::{CallContext, Editor, ImageSource, ImportOptions, QueryRequest};
use reasonedit_imaging::PixelRules;
use tempfile::TempDir;
use world::{PICTURES, Said, edit, open, picture, query, said};

fn stored(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/first_pixels").join(name)
}

fn unzipped(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(stored(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The data folder, as it was.
fn before() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(unzipped("data.tar.gz").as_slice()).unpack(folder.path()).unwrap();
    folder
}

fn recorded() -> Vec<Said> {
    serde_json::from_slice(&std::fs::read(stored("said.json")).unwrap()).unwrap()
}

/// To what differs between processors.
fn assert_same(now: &Said, then: &Said) {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * (1.0 + b.abs());
    assert_eq!(now.answer, then.answer);
    assert!(now.choices.iter().zip(&then.choices).all(|(a, b)| close(*a, *b)), "{now:?} {then:?}");
    assert_eq!(now.facts.len(), then.facts.len());
    for ((text, distance), (was, at)) in now.facts.iter().zip(&then.facts) {
        assert!(text == was && close(*distance, *at), "{now:?} {then:?}");
    }
}

fn name() -> CodebookName {
    CodebookName::default()
}

fn rules(editor: &Editor) -> PixelRules {
    editor.active_embedding(&name()).unwrap().embedding.pixels
}

/// Keys by entry, with the picture that each was made of.
fn keys(editor: &Editor) -> BTreeMap<MemberId, ([u8; 32], Vec<f32>)> {
    let snapshot = editor.library().get(&name()).unwrap().snapshot();
    snapshot.members().map(|member| (member.id, (member.image.0, member.key.clone()))).collect()
}

fn id(n: u16) -> [u8; 32] {
    let ImageSource::Bytes(bytes) = picture(n) else { unreachable!() };
    bytes.id().0
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_as_it_did_moves_over_and_goes_back() {
    let (folder, recorded) = (before(), recorded());
    let editor = open(folder.path()).await;
    assert_eq!(
        (rules(&editor), editor.active_embedding(&name()).unwrap().chosen),
        (PixelRules::First, false)
    );
    for (n, then) in (0..).zip(&recorded) {
        assert_same(&said(&editor, n).await, then);
    }

    // What is added is made by the rules of what is there, and found by them.
    let added = edit(&editor, PICTURES).await;
    assert_eq!(added.record.warnings, [], "nothing was done to it that was not done before");
    assert_eq!(rules(&editor), PixelRules::First);
    let found = said(&editor, PICTURES).await;
    assert!(found.facts[0].1 < 1e-3, "{found:?}");
    let first = keys(&editor);

    let generation = editor.active_embedding(&name()).unwrap().embedding.id;
    let moved = editor.renew(&name(), |_| (), pending()).await.unwrap();
    let active = editor.active_embedding(&name()).unwrap();
    assert_eq!((active.embedding.id, active.embedding.pixels), (moved, PixelRules::CURRENT));
    assert_eq!(active.embedding.seeds, Seeds::Content);
    assert!(!active.chosen && moved != generation, "it follows the configuration as before");
    let second = keys(&editor);
    assert_eq!(first.len(), second.len());
    for (entry, (image, key)) in &second {
        let same = first[entry].1 == *key;
        // Colours of 8 bits are the same by all rules; greys of 12 bits are not.
        assert_eq!(same, *image == id(0) || *image == id(2), "{entry}");
    }
    let found = said(&editor, 1).await;
    assert!(found.facts[0].1 < 1e-3, "{found:?}");
    // Nothing is left to be done.
    assert_eq!(editor.renew(&name(), |_| (), pending()).await.unwrap(), moved);

    assert_eq!(editor.rollback(&name(), None, |_| (), pending()).await.unwrap(), generation);
    let active = editor.active_embedding(&name()).unwrap();
    assert_eq!((active.embedding.pixels, active.chosen), (PixelRules::First, false));
    assert_eq!(active.embedding.seeds, Seeds::Ids);
    assert_eq!(keys(&editor), first);
    editor.revert(&name(), added.record.id).await.unwrap();
    for (n, then) in (0..PICTURES).zip(&recorded) {
        assert_same(&said(&editor, n).await, then);
    }
    editor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_archive_begins_a_codebook_like_it_and_is_made_anew_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path()).await;
    let import = async |editor: &Editor| {
        let archive = std::io::Cursor::new(unzipped("archive.tar.gz"));
        editor.import(&name(), archive, ImportOptions::new(1 << 20), CallContext::default()).await.unwrap()
    };
    let summary = import(&editor).await;
    assert_eq!((summary.edits, summary.reembedded), (usize::from(PICTURES), 0));
    assert_eq!(rules(&editor), PixelRules::First);
    for (n, then) in (0..).zip(&recorded()) {
        assert_same(&said(&editor, n).await, then);
    }
    editor.shutdown().await;

    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path()).await;
    edit(&editor, PICTURES).await;
    assert_eq!(rules(&editor), PixelRules::CURRENT);
    let summary = import(&editor).await;
    assert_eq!((summary.edits, summary.reembedded), (usize::from(PICTURES), usize::from(PICTURES)));
    assert_eq!(rules(&editor), PixelRules::CURRENT);
    editor.shutdown().await;
}

/// By the rules of today, and in the same process as by those of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_a_picture_is_told_where_it_was_done() {
    let folder = before();
    let editor = open(folder.path()).await;
    let new: CodebookName = "new".parse().unwrap();
    let scaled = |warnings: &[Warning]| {
        let places: Vec<_> = warnings.iter().map(|w| (w.code.as_str(), w.pointer.as_str())).collect();
        places == [("depth_guessed", "/image")]
    };
    let ask = async |codebook: &CodebookName, n: u16| {
        let request: QueryRequest = query(n);
        editor.query(codebook, request, CallContext::default()).await.unwrap().warnings
    };
    assert!(scaled(&ask(&new, 1).await) && ask(&new, 0).await.is_empty());
    assert_eq!(ask(&name(), 1).await, [], "as it always was");
    assert!(scaled(&ask(&new, 1).await), "whatever it was asked about before");

    let (image, statements) = (picture(1), ["It is dark.".to_owned()]);
    let found = editor.find_evidence(&new, &image, &statements, CallContext::default()).await.unwrap();
    assert!(scaled(&found.warnings));
    let made = world::edit_of(&editor, &new, 1).await;
    assert!(scaled(&made.record.warnings));
    assert_eq!(editor.get_edit(&new, made.record.id).await.unwrap().record.warnings, made.record.warnings);
    editor.shutdown().await;
}
