use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use reasonedit_codebook::{CodebookError, EditId, Event, MemberId};
use reasonedit_imaging::PixelRules;
use reasonedit_inference::Pooling;
use tokio::sync::Notify;

use super::*;
use crate::ImportOptions;
use crate::edit::store::{PreparedEdit, commit};
use crate::query::QueryPipeline;
use crate::testing::{self, assert_made_anew, book, choice, edit, engine, open};
use crate::types::{CallContext, QueryRequest, RetrievalOverride};

const ENCODER: &str = "mpnet-1";

fn query(seed: u64) -> QueryRequest {
    QueryRequest {
        warnings: Vec::new(),
        image: testing::picture(seed),
        question: format!("What is specimen {seed}?"),
        choices: vec!["benign".into(), "malignant".into()],
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride::default(),
        compare: false,
    }
}

fn ids(editor: &Editor) -> Vec<EditId> {
    book(editor).snapshot().edits().map(|e| e.id).collect()
}

async fn never() {
    std::future::pending::<()>().await;
}

fn quiet(_: ReembedProgress) {}

fn name() -> CodebookName {
    CodebookName::default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_reverts_and_queries_go_on_while_the_keys_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), &engine(ENCODER), testing::config()).await.unwrap();
    let mut first = Vec::new();
    for seed in 0..12 {
        first.push(edit(&editor, seed).await.record.id);
    }
    let before = editor.active_embedding(&name()).unwrap();
    assert!(!before.chosen && before.previous.is_none());

    let ended = Arc::new(AtomicBool::new(false));
    let editing = tokio::spawn({
        let (editor, ended, first) = (editor.clone(), Arc::clone(&ended), first.clone());
        async move {
            let (mut made, mut reverted) = (Vec::new(), Vec::new());
            for seed in 100.. {
                if ended.load(Ordering::SeqCst) && seed > 106 {
                    break;
                }
                let view = edit(&editor, seed).await;
                let live = book(&editor).snapshot();
                assert!(live.edit(view.record.id).is_some());
                made.push(view.record.id);
                // One that was there, and one that came meanwhile.
                if seed % 3 == 0 {
                    for id in [first[1 + reverted.len() / 2 % 8], made[made.len() / 2]] {
                        if editor.revert(&name(), id).await.is_ok() {
                            reverted.push(id);
                        }
                    }
                }
            }
            (made, reverted)
        }
    });
    let asking = tokio::spawn({
        let (editor, ended, wanted) = (editor.clone(), Arc::clone(&ended), first[0]);
        async move {
            let mut served = Vec::new();
            let picture =
                editor.core.pictures().resolve(&testing::picture(0), PixelRules::CURRENT).await.unwrap();
            // Keys merge by chance, and a merged key may lie farther off than another: what was asked for is
            // among the found, not always first.
            let wishes = RetrievalOverride {
                reject_percentile: Some(100.0),
                k: Some(20),
                ..RetrievalOverride::default()
            };
            loop {
                let last = ended.load(Ordering::SeqCst);
                let (name, call) = (name(), CallContext::default());
                let pipeline = QueryPipeline { core: &editor.core, codebook: &name, call, events: None };
                let asked = Some((&picture, "What is specimen 0?"));
                let found = pipeline.look_up(asked, &wishes).await.unwrap();
                let mut ids = found.report.facts.iter().flat_map(|fact| &fact.edit_ids);
                assert!(ids.any(|id| *id == wanted), "{:?}", found.report);
                served.push(found.generation.unwrap());
                if last {
                    return served;
                }
            }
        }
    });
    let mut seen = Vec::new();
    let wanted = choice("vision.0", Pooling::Last, 3.0);
    let id = editor.reembed(&name(), &wanted, |at| seen.push(at), never()).await.unwrap();
    ended.store(true, Ordering::SeqCst);
    let (made, reverted) = editing.await.unwrap();
    let served = asking.await.unwrap();

    let mut expected: Vec<EditId> = [first, made].concat();
    expected.retain(|id| !reverted.contains(id));
    assert_eq!(ids(&editor), expected);
    assert_made_anew(&editor).await;
    let active = editor.active_embedding(&name()).unwrap();
    assert_eq!(
        (active.embedding.id, active.chosen, &active.previous),
        (id, true, &Some(before.embedding.clone()))
    );
    assert_eq!((active.embedding.tap.as_str(), active.embedding.lambda), ("vision.0", 3.0));
    // Old before the swap, new after it, and nothing else.
    assert!(served.is_sorted_by_key(|generation| *generation == id), "{served:?}");
    assert!(served.iter().all(|g| [id, before.embedding.id].contains(g)) && served.last() == Some(&id));
    assert_eq!((seen[0].done, seen[0].stage), (0, ReembedStage::Embedding));
    let last = seen.last().unwrap();
    assert_eq!((last.done, last.stage), (last.total, ReembedStage::Swapping));

    // Edits made since belong to what is gone back to, reverts too.
    let view = edit(&editor, 300).await;
    assert_eq!((view.generation, view.record.embedding), (id, id));
    editor.revert(&name(), expected[2]).await.unwrap();
    let live = ids(&editor);
    let back = editor.rollback(&name(), None, quiet, never()).await.unwrap();
    assert_eq!((back, ids(&editor)), (before.embedding.id, live.clone()));
    assert_made_anew(&editor).await;
    assert!(!editor.active_embedding(&name()).unwrap().chosen, "it follows the configuration again");
    assert_eq!(editor.get_edit(&name(), view.record.id).await.unwrap().generation, back);
    // Said again, it is done already.
    assert_eq!(editor.rollback(&name(), Some(back), quiet, never()).await.unwrap(), back);
    let swaps = book(&editor).history().unwrap();
    assert_eq!(swaps.iter().filter(|e| matches!(e, Event::Reembedded(_))).count(), 2);
    assert_eq!(editor.rollback(&name(), None, quiet, never()).await.unwrap(), id);
    assert_made_anew(&editor).await;
    assert_eq!(ids(&editor), live);
}

#[tokio::test]
async fn an_edit_that_the_swap_overtook_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), &engine(ENCODER), testing::config()).await.unwrap();
    edit(&editor, 1).await;
    // Made under the old embedding, stored after the swap.
    let old = editor.core.embedder_of(&name()).unwrap();
    let picture = editor.core.pictures().resolve(&testing::picture(2), PixelRules::CURRENT).await.unwrap();
    editor.core.pictures().keep(&picture).unwrap();
    let record = EditRecord {
        id: EditId(editor.core.next_id()),
        image: picture.info(),
        question: "What is specimen 2?".into(),
        ..edit(&editor, 3).await.record
    };
    let options = CallOptions::default();
    let maker = EntryMaker { core: &editor.core, embedder: &old, options };
    let (members, _) = maker.members(&record, &picture).await.unwrap();
    let id = editor.reembed(&name(), &choice("merger", Pooling::Mean, 0.5), quiet, never()).await.unwrap();
    let prepared = PreparedEdit { record, members, embedder: old };
    let (stored, applied) = commit(&editor.core, &name(), prepared, &picture, options).await.unwrap();
    assert_eq!((stored.embedding, applied.entries.len()), (id, 4));
    assert_made_anew(&editor).await;
}

#[tokio::test]
async fn what_is_cancelled_leaves_nothing_and_what_is_dropped_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), &engine(ENCODER), testing::config()).await.unwrap();
    for seed in 0..40 {
        edit(&editor, seed).await;
    }
    let before = book(&editor).snapshot();
    let wanted = choice("vision.0", Pooling::Mean, 7.0);
    let stop = Notify::new();
    let half = |at: ReembedProgress| {
        if at.done == 20 {
            stop.notify_one();
        }
    };
    let draft = || {
        let embedder = Embedder::chosen(&wanted, editor.core.model(), editor.core.encoder()).unwrap();
        let generation = embedder.under(GenerationId(editor.core.next_id())).generation();
        let recipe = editor.recipe(&generation).unwrap();
        let mut build = book(&editor).begin(generation, recipe).unwrap();
        build.prepare().edits.len()
    };
    let cancelled = editor.reembed(&name(), &wanted, half, stop.notified()).await;
    assert!(matches!(cancelled, Err(EditorError::Cancelled)), "{cancelled:?}");
    assert!(Arc::ptr_eq(&before, &book(&editor).snapshot()));
    assert_eq!(draft(), 40, "nothing to go on with");

    for gone_on_with in [false, true] {
        {
            let name = name();
            let work = pin!(editor.reembed(&name, &wanted, half, never()));
            tokio::select! {
                biased;
                () = stop.notified() => {}
                outcome = work => panic!("{outcome:?}"),
            }
        }
        if !gone_on_with {
            editor.discard_reembedding(&name()).await.unwrap();
            assert_eq!(draft(), 40, "nothing to go on with");
        }
    }
    // What runs on a blocking thread still holds the place for a moment.
    let mut seen = Vec::new();
    loop {
        match editor.reembed(&name(), &wanted, |at| seen.push(at.done), never()).await {
            Err(EditorError::Codebook(CodebookError::Conflict(_))) => tokio::task::yield_now().await,
            outcome => {
                outcome.unwrap();
                break;
            }
        }
    }
    assert_eq!(seen[0], 16, "what was written is not made again");
    assert_made_anew(&editor).await;
    assert_eq!(ids(&editor).len(), 40);
}

#[tokio::test]
async fn one_at_a_time_and_only_what_the_model_has() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), &engine(ENCODER), testing::config()).await.unwrap();
    let good = choice("vision.0", Pooling::Mean, 7.0);
    let empty = editor.reembed(&name(), &good, quiet, never()).await;
    assert!(empty.is_err(), "there is nothing to embed");
    edit(&editor, 1).await;
    let bad = choice("language.0", Pooling::Mean, -1.0);
    let Err(EditorError::Invalid(faults)) = editor.reembed(&name(), &bad, quiet, never()).await else {
        panic!("taken");
    };
    assert_eq!(faults.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), ["/tap", "/lambda"]);
    let conflict = |outcome: Result<GenerationId, EditorError>| {
        matches!(outcome, Err(EditorError::Codebook(CodebookError::Conflict(_))))
    };
    assert!(conflict(editor.rollback(&name(), None, quiet, never()).await), "nothing is kept");
    let name = name();
    let (a, b) = tokio::join!(
        editor.reembed(&name, &good, quiet, never()),
        editor.reembed(&name, &good, quiet, never())
    );
    assert!(conflict(b) || conflict(a));
    assert_made_anew(&editor).await;
}

#[tokio::test]
async fn what_was_chosen_outlasts_the_configuration_but_not_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let (mpnet, bert) = (engine(ENCODER), engine("bert-1"));
    let editor = open(folder.path(), &mpnet, testing::config()).await.unwrap();
    edit(&editor, 1).await;
    // Chosen is also what happens to be configured.
    let configured = editor.active_embedding(&name()).unwrap().embedding;
    let same = choice(&configured.tap, Pooling::Mean, configured.lambda);
    assert_eq!(editor.reembed(&name(), &same, quiet, never()).await.unwrap(), configured.id);
    assert!(editor.active_embedding(&name()).unwrap().chosen);
    let id = editor.reembed(&name(), &choice("vision.0", Pooling::Last, 2.5), quiet, never()).await.unwrap();
    drop(editor);

    let mut other = testing::config();
    other.embedding.lambda = 11.0;
    other.embedding.on_mismatch = OnMismatch::Reembed;
    let editor = open(folder.path(), &mpnet, other.clone()).await.unwrap();
    let active = editor.active_embedding(&name()).unwrap();
    assert_eq!((active.embedding.id, active.embedding.lambda, active.chosen), (id, 2.5, true));
    assert_eq!(edit(&editor, 2).await.generation, id);
    assert_made_anew(&editor).await;
    drop(editor);

    // Another encoder: refused, or made anew as the configuration says; the choice was made for other models.
    let refusing = open(folder.path(), &bert, testing::config()).await.unwrap();
    let refused = refusing.query(&name(), query(1), CallContext::default()).await;
    let is_mismatch =
        |e: &EditorError| matches!(e, EditorError::Codebook(CodebookError::EmbeddingMismatch { .. }));
    assert!(is_mismatch(&refused.unwrap_err()));
    drop(refusing);
    let editor = open(folder.path(), &bert, other).await.unwrap();
    let active = editor.active_embedding(&name()).unwrap();
    assert_eq!((active.embedding.lambda, active.chosen), (11.0, false));
    assert_made_anew(&editor).await;
    // What is kept can't be computed here.
    let back = editor.rollback(&name(), None, quiet, never()).await;
    assert!(is_mismatch(&back.unwrap_err()));
    assert_eq!(ids(&editor).len(), 2);
    assert_made_anew(&editor).await;
}

#[tokio::test]
async fn an_archive_carries_what_was_chosen() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine(ENCODER);
    let editor = open(here.path(), &engine, testing::config()).await.unwrap();
    for seed in 0..3 {
        edit(&editor, seed).await;
    }
    editor.reembed(&name(), &choice("vision.0", Pooling::Last, 2.5), quiet, never()).await.unwrap();
    let path = here.path().join("book.tar");
    editor.export(&name(), std::fs::File::create(&path).unwrap()).await.unwrap();

    let other = open(there.path(), &engine, testing::config()).await.unwrap();
    let import = async |name: &CodebookName| {
        let file = std::fs::File::open(&path).unwrap();
        other.import(name, file, ImportOptions::new(1 << 30), CallContext::default()).await.unwrap()
    };
    let summary = import(&name()).await;
    assert_eq!((summary.edits, summary.reembedded), (3, 0));
    assert!(other.active_embedding(&name()).unwrap().chosen);
    assert_eq!(book(&other).snapshot().canonical(), book(&editor).snapshot().canonical());
    assert_made_anew(&other).await;

    // A codebook that has begun keeps its own embedding.
    let begun: CodebookName = "begun".parse().unwrap();
    other.edit(&begun, testing::request(9), CallContext::default()).await.unwrap();
    assert_eq!(import(&begun).await.reembedded, 3);
    assert!(!other.active_embedding(&begun).unwrap().chosen);
}

#[tokio::test]
async fn edits_that_come_faster_than_their_keys_are_made_wait_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), &engine(ENCODER), testing::config()).await.unwrap();
    let first = edit(&editor, 1).await.record.id;
    let (book, generation) = (book(&editor), book(&editor).snapshot().generation().unwrap());
    // As many again as are too many to wait for, straight into the codebook: nothing in them has to be
    // computed.
    let more = || {
        let snapshot = book.snapshot();
        for _ in 0..=FEW {
            let id = EditId(editor.core.next_id());
            let record = EditRecord { id, ..snapshot.edit(first).unwrap().as_ref().clone() };
            let members = snapshot.members_of(first).map(|member| Member {
                id: MemberId::derive(id, member.ordinal),
                edit: id,
                ..member.as_ref().clone()
            });
            book.apply(record, members.collect(), &generation).unwrap();
        }
    };
    let (mut rounds, mut swapping) = (0, Vec::new());
    let at = |at: ReembedProgress| match at.stage {
        // After the limit this stops, so that a limit that isn't kept fails the test and not the machine.
        ReembedStage::Embedding if at.done == at.total && rounds < 2 * ROUNDS => {
            rounds += 1;
            more();
        }
        ReembedStage::Embedding => {}
        ReembedStage::Swapping => swapping.push(at.total - at.done),
    };
    let id = editor.reembed(&name(), &choice("vision.0", Pooling::Mean, 7.0), at, never()).await.unwrap();
    assert_eq!(rounds, ROUNDS);
    assert_eq!(swapping, (0..=FEW + 1).rev().collect::<Vec<_>>(), "more than few, made while edits wait");
    let live = book.snapshot();
    assert_eq!((live.embedding().unwrap().id, live.edit_count()), (id, 1 + ROUNDS * (FEW + 1)));
    assert!(book.verify().unwrap().ok());
}
