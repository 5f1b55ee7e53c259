//! The index's look-up and the fold, on random keys (the worst case for every bound of the index), and how
//! long a store takes to open: `cargo bench -p reasonedit-codebook`.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use reasonedit_codebook::{
    Codebook, CodebookConfig, CodebookName, CodebookStore, EditId, EditRecord, Embedding, EntryKind,
    EventOrigin, Generation, GenerationId, Idempotency, ImageId, ImageInfo, Member, MemberId, MemoryStore,
    RetrievalParams, Seeds, SledStore, Statement,
};
use reasonedit_imaging::PixelRules;
use time::OffsetDateTime;
use ulid::Ulid;

/// Entries of an edit: the answer and four statements.
const ENTRIES: u32 = 5;
/// Numbers of a key.
const DIM: u32 = 256;

/// Edits with random keys.
struct RandomEdits {
    generation: Generation,
    state: u64,
    made: u64,
}

impl RandomEdits {
    fn new() -> Self {
        let embedding = Embedding {
            id: GenerationId(Ulid::from_parts(0, 0)),
            model_fingerprint: String::new(),
            tap: String::new(),
            pooling: String::new(),
            lambda: 1.0,
            encoder_fingerprint: String::new(),
            vision_dim: DIM,
            sentence_dim: 0,
            pixels: PixelRules::CURRENT,
            seeds: Seeds::CURRENT,
        };
        Self { generation: Generation { embedding, chosen: false }, state: 1, made: 0 }
    }

    /// Numbers in -1..1, by `SplitMix64`.
    fn key(&mut self) -> Vec<f32> {
        let mut unit = || {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..DIM).map(|_| unit()).collect()
    }

    fn edit(&mut self) -> (EditRecord, Vec<Member>) {
        let id = EditId(Ulid::from_parts(self.made, 1));
        self.made += 1;
        let image = ImageId([0; 32]);
        let said = |n: u32| format!("Sentence {n} of edit {id}.");
        let statement =
            |n: u32| Statement { statement: said(n), evidence: Vec::new(), p_yes: None, prior: None };
        let record = EditRecord {
            id,
            created_at: OffsetDateTime::UNIX_EPOCH,
            image: ImageInfo { id: image, width: 1, height: 1 },
            question: format!("Question {id}?"),
            answer: "yes".to_owned(),
            choices: Vec::new(),
            reasoning: (1..ENTRIES).map(statement).collect(),
            author: None,
            tags: Vec::new(),
            metadata: serde_json::Value::Null,
            embedding: self.generation.embedding.id,
            before: None,
            timings_ms: BTreeMap::new(),
            relations: reasonedit_codebook::Relations::default(),
            idempotency: None,
            warnings: Vec::new(),
        };
        let member = |ordinal: u32| Member {
            id: MemberId::derive(id, ordinal),
            edit: id,
            ordinal,
            kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
            statement: ordinal.checked_sub(1),
            image,
            area: None,
            sentence: said(ordinal),
            key: self.key(),
            radius: 5.0,
        };
        (record, (0..ENTRIES).map(member).collect())
    }

    /// A store with so many edits in its default codebook.
    fn stored(&mut self, edits: u64) -> Arc<MemoryStore> {
        let (store, name) = (Arc::new(MemoryStore::new()), CodebookName::default());
        for n in 0..edits {
            let (record, members) = self.edit();
            let first = (n == 0).then_some(&self.generation);
            store.commit_edit(&name, &record, &members, first, EventOrigin::Direct).unwrap();
        }
        store
    }
}

fn open(store: Arc<MemoryStore>) -> Codebook {
    Codebook::open(store, CodebookName::default(), Arc::new(CodebookConfig::default())).unwrap()
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    let ungated = RetrievalParams { gate: false, ..RetrievalParams::default() };
    for edits in [200, 2_000] {
        let mut random = RandomEdits::new();
        let book = open(random.stored(edits));
        group.bench_function(BenchmarkId::new("look_up", edits * u64::from(ENTRIES)), |bencher| {
            bencher.iter_batched(
                || random.key(),
                |query| black_box(book.retrieve(&query, &ungated).unwrap()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    let mut random = RandomEdits::new();
    let store = random.stored(200);
    group.bench_function(BenchmarkId::new("from_scratch", 200 * ENTRIES), |bencher| {
        bencher.iter(|| black_box(open(Arc::clone(&store))));
    });
    let book = open(store);
    let generation = random.generation.clone();
    group.bench_function(BenchmarkId::new("edit_and_revert", 200 * ENTRIES), |bencher| {
        bencher.iter_batched(
            || random.edit(),
            |(record, members)| {
                let id = record.id;
                book.apply(record, members, &generation).unwrap();
                book.revert(id).unwrap();
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// What a store does before any codebook is read: looking after idempotency keys is most of it, and edits
/// that were made without one cost as much as those whose rows are there.
fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start");
    let edits = 5_000;
    for keyed in [true, false] {
        let (mut random, name) = (RandomEdits::new(), CodebookName::default());
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::open(folder.path()).unwrap();
        let made: Vec<_> = (0..edits)
            .map(|n| {
                let (mut record, mut members) = random.edit();
                record.idempotency = keyed.then(|| Idempotency { key: format!("key {n}"), body: [7; 32] });
                // As much as a record has in use; the keys are no part of it.
                record.metadata = serde_json::json!({ "report": "Effusion at the left base. ".repeat(60) });
                members.truncate(1);
                (Arc::new(record), members.into_iter().map(Arc::new).collect())
            })
            .collect();
        store.commit_edits(&name, &made, Some(&random.generation), None).unwrap();
        drop(store);
        let what = if keyed { "with_keys" } else { "without_keys" };
        group.bench_function(BenchmarkId::new(what, edits), |bencher| {
            bencher.iter(|| black_box(SledStore::open(folder.path()).unwrap()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = index, fold, start
}
criterion_main!(benches);
