//! Measures retrieval, edits and reverts on random keys:
//! `cargo run --release --example measure -- 20000 928 hubness` (keys, dimensions, and whether hubness is
//! measured too: that compares all pairs once).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reasonedit_codebook::{
    Codebook, CodebookName, CodebookStore, EditId, EditRecord, Embedding, EntryKind, EventOrigin, Generation,
    GenerationId, ImageId, ImageInfo, Member, MemberId, MemoryStore, Result, RetrievalParams, Seeds,
    Statement,
};
use reasonedit_imaging::PixelRules;
use time::OffsetDateTime;
use ulid::Ulid;

const PER_EDIT: u32 = 5;

/// Uniform in -1..1, by `SplitMix64`.
fn unit(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn edit(n: u64, dim: u32, embedding: &Embedding, state: &mut u64) -> (EditRecord, Vec<Member>) {
    let id = EditId(Ulid::from_parts(n, 1));
    let record = EditRecord {
        warnings: Vec::new(),
        id,
        created_at: OffsetDateTime::UNIX_EPOCH,
        image: ImageInfo { id: ImageId([0; 32]), width: 1, height: 1 },
        question: format!("Question {n}?"),
        answer: "yes".to_owned(),
        choices: vec![],
        reasoning: vec![
            Statement {
                statement: "It is so.".to_owned(),
                evidence: vec![],
                p_yes: None,
                prior: None
            };
            PER_EDIT as usize
        ],
        author: None,
        tags: vec![],
        metadata: serde_json::Value::Null,
        embedding: embedding.id,
        before: None,
        timings_ms: BTreeMap::new(),
        relations: reasonedit_codebook::Relations::default(),
        idempotency: None,
    };
    let members = (0..PER_EDIT)
        .map(|ordinal| Member {
            id: MemberId::derive(id, ordinal),
            edit: id,
            ordinal,
            kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
            statement: ordinal.checked_sub(1),
            image: ImageId([0; 32]),
            area: None,
            sentence: format!("Sentence {ordinal} of edit {n}."),
            key: (0..dim).map(|_| unit(state)).collect(),
            radius: 5.0,
        })
        .collect();
    (record, members)
}

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{what:<44} least {:>10.2?}  median {:>10.2?}", times[0], times[times.len() / 2]);
}

fn timed<T>(times: usize, mut action: impl FnMut(usize) -> T) -> Vec<Duration> {
    (0..times)
        .map(|i| {
            let start = Instant::now();
            action(i);
            start.elapsed()
        })
        .collect()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|a| a.parse::<u64>().ok());
    let keys = number(0).unwrap_or(20_000);
    let dim = number(1).unwrap_or(928) as u32;
    let hubness = arguments.iter().any(|a| a == "hubness");
    let embedding = Embedding {
        id: GenerationId(Ulid::from_parts(0, 0)),
        model_fingerprint: String::new(),
        tap: String::new(),
        pooling: String::new(),
        lambda: 1.0,
        encoder_fingerprint: String::new(),
        vision_dim: dim,
        sentence_dim: 0,
        pixels: PixelRules::CURRENT,
        seeds: Seeds::CURRENT,
    };
    let generation = Generation { embedding: embedding.clone(), chosen: false };
    let mut state = 1;
    let store = Arc::new(MemoryStore::new());
    let edits = keys / u64::from(PER_EDIT);
    for n in 0..edits {
        let (record, members) = edit(n, dim, &embedding, &mut state);
        let first = (n == 0).then_some(&generation);
        store.commit_edit(&CodebookName::default(), &record, &members, first, EventOrigin::Direct)?;
    }
    let start = Instant::now();
    let book = Codebook::open(store, CodebookName::default(), Arc::default())?;
    report("open (fold, index, reservoir)", vec![start.elapsed()]);

    let plain = RetrievalParams { gate: false, ..RetrievalParams::default() };
    let mut query = || -> Vec<f32> { (0..dim).map(|_| unit(&mut state)).collect() };
    report("retrieve", timed(30, |_| book.retrieve(&query(), &plain)));
    report(
        "first threshold after a publish",
        timed(1, |_| book.snapshot().threshold(&RetrievalParams::default())),
    );
    report("retrieve with gate", timed(30, |_| book.retrieve(&query(), &RetrievalParams::default())));
    let more: Vec<_> = (0..20).map(|n| edit(edits + n, dim, &embedding, &mut state)).collect();
    let ids: Vec<EditId> = more.iter().map(|(record, _)| record.id).collect();
    report(
        "edit of five entries (memory store)",
        timed(20, |i| {
            let (record, members) = more[i].clone();
            book.apply(record, members, &generation)
        }),
    );
    report("revert", timed(20, |i| book.revert(ids[i])));
    if hubness {
        let scaled = RetrievalParams { hubness: true, ..RetrievalParams::default() };
        let mut query = || -> Vec<f32> { (0..dim).map(|_| unit(&mut state)).collect() };
        report("first retrieval with hubness", timed(1, |_| book.retrieve(&query(), &scaled)));
        report("retrieve with hubness and gate", timed(30, |_| book.retrieve(&query(), &scaled)));
        let more: Vec<_> = (20..25).map(|n| edit(edits + n, dim, &embedding, &mut state)).collect();
        report(
            "edit of five entries with hubness",
            timed(5, |i| {
                let (record, members) = more[i].clone();
                book.apply(record, members, &generation)
            }),
        );
    }
    Ok(())
}
