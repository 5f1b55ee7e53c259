//! A data folder with edits in it, and what is compared of two of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_backup::{
    BackupProgress, BackupRepository, BackupSource, BackupSummary, CreateOptions, RestoreOptions,
    RestoreSummary, Result,
};
use reasonedit_codebook::store;
use reasonedit_codebook::{
    CodebookConfig, CodebookName, CodebookStore, Draft, EditId, EditRecord, Generation, ImageId, ImageStore,
    Library, Member, MemberId,
};
use reasonedit_keyring::Keyring;
use serde_json::{Value, from_value, json};
use tempfile::TempDir;

/// Numbers of a key.
const DIM: usize = 200;

/// Where codebooks, pictures and keys lie.
pub(crate) fn folders(data: &Path) -> [PathBuf; 3] {
    ["codebooks", "images", "keys"].map(|name| data.join(name))
}

/// Who only listens.
pub(crate) fn go_on(_: BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A data folder in use, and beside it a place for backups and what is restored of them.
pub(crate) struct Data {
    pub(crate) place: TempDir,
    pub(crate) store: Arc<dyn CodebookStore>,
    pub(crate) library: Library,
    pub(crate) images: ImageStore,
    pub(crate) keys: Arc<Keyring>,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self::begin(tempfile::tempdir().unwrap())
    }

    fn begin(place: TempDir) -> Self {
        let (store, library, images, keys) = open(&place.path().join("data"));
        Self { place, store, library, images, keys }
    }

    /// The same after a restart.
    pub(crate) fn restarted(self) -> Self {
        let Self { place, store, library, images, keys } = self;
        drop((store, library, images, keys));
        Self::begin(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn repository(&self) -> BackupRepository {
        self.try_repository("backups", false).unwrap()
    }

    pub(crate) fn try_repository(&self, name: &str, new: bool) -> Result<BackupRepository> {
        let known = self.path("data").join("backups.json");
        BackupRepository::open_or_create(&self.path(name), &known, &self.keys, new)
    }

    pub(crate) fn try_backup(&self, options: CreateOptions) -> Result<BackupSummary> {
        let files = ["tokens.json", "tokens.lock"].map(|name| self.path("data").join(name));
        let source = BackupSource { images: &self.images, keys: &self.keys, files: &files };
        self.try_repository("backups", false)?.create(
            &|take| self.library.dump(take),
            &source,
            options,
            &go_on,
        )
    }

    pub(crate) fn backup(&self) -> BackupSummary {
        self.try_backup(CreateOptions::default()).unwrap()
    }

    pub(crate) fn try_restore(&self, name: &str) -> Result<RestoreSummary> {
        self.repository().restore(&self.path(name), &folders, RestoreOptions::default(), &go_on)
    }

    /// Everything that the newest backup restores to.
    pub(crate) fn restored(&self, name: &str) -> Contents {
        self.try_restore(name).unwrap();
        contents_of(&self.path(name))
    }

    /// Makes the `n`-th edit, with a picture of its own.
    pub(crate) fn edit(&self, codebook: &str, n: u64) {
        self.images.put(&picture(n)).unwrap();
        let book = self.library.get_or_create(&name(codebook)).unwrap();
        book.apply(record(n), members(n, 0), &generation(0)).unwrap();
        book.put_outcome(edit_id(n), format!("outcome {n}").as_bytes()).unwrap();
    }

    pub(crate) fn revert(&self, codebook: &str, n: u64) {
        self.library.get(&name(codebook)).unwrap().revert(edit_id(n)).unwrap();
    }

    /// Makes other keys of the codebook's live edits, and has them used.
    pub(crate) fn reembed(&self, codebook: &str, live: &[u64]) {
        let (name, to) = (name(codebook), generation(1));
        let draft: Draft = from_value(json!({"generation": to, "recipe": vec![1u8; 32]})).unwrap();
        self.store.begin_draft(&name, &draft).unwrap();
        for n in live {
            self.store.put_keys(&name, to.embedding.id, &members(*n, 1)).unwrap();
        }
        self.store.swap(&name, &to).unwrap();
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents::of(&*self.store, &self.library, &self.images)
    }
}

pub(crate) fn open(data: &Path) -> (Arc<dyn CodebookStore>, Library, ImageStore, Arc<Keyring>) {
    let [codebooks, images, keys] = folders(data);
    std::fs::create_dir_all(&codebooks).unwrap();
    let keys = Keyring::open(&keys, None).unwrap();
    let store = store::open_with(&codebooks, Arc::clone(&keys)).unwrap();
    let library = Library::open(Arc::clone(&store), CodebookConfig::default()).unwrap();
    (store, library, ImageStore::open_with(&images, Arc::clone(&keys)).unwrap(), keys)
}

/// Opens a data folder as a service does, and reads all of it.
pub(crate) fn contents_of(data: &Path) -> Contents {
    let (store, library, images, _keys) = open(data);
    assert_eq!(store.faults(), Vec::<String>::new());
    assert!(library.damaged().is_empty());
    for book in library.books() {
        assert!(book.verify().unwrap().ok(), "{}", book.name());
    }
    Contents::of(&*store, &library, &images)
}

/// Everything that is to be the same in a restored folder.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    /// Per codebook: live edits, keys, generations, history, and of every edit ever made its record, outcome
    /// and idempotency key.
    pub(crate) codebooks: BTreeMap<String, Value>,
    pub(crate) journal: Vec<(String, Vec<u8>)>,
    pub(crate) images: BTreeMap<ImageId, Vec<u8>>,
}

impl Contents {
    fn of(store: &dyn CodebookStore, library: &Library, images: &ImageStore) -> Self {
        let mut codebooks = BTreeMap::new();
        for name in store.names().unwrap() {
            let live = store.load(&name).unwrap();
            let history = store.history(&name, 0, usize::MAX).unwrap();
            let mut edits = Vec::new();
            for logged in &history {
                let reasonedit_codebook::Event::Edited(id) = logged.event else { continue };
                let Some(record) = store.record(&name, id).unwrap() else { continue };
                let key = record.idempotency.as_ref().map(|given| given.key.clone()).unwrap_or_default();
                let outcome = store.outcome(&name, id).unwrap();
                edits.push(json!([record, outcome, store.idempotency(&name, &key).unwrap()]));
            }
            let all = json!([
                live.edits,
                live.members,
                live.generation,
                live.previous,
                history,
                edits,
                store.events(&name).unwrap(),
            ]);
            codebooks.insert(name.to_string(), all);
        }
        let rows = library.journal("jobs").all().unwrap();
        Self {
            codebooks,
            journal: rows.into_iter().map(|(key, row)| (format!("{key:?}"), row)).collect(),
            images: images.ids().unwrap().into_iter().map(|id| (id, images.get(id).unwrap())).collect(),
        }
    }
}

pub(crate) fn name(codebook: &str) -> CodebookName {
    codebook.parse().unwrap()
}

pub(crate) fn picture(n: u64) -> Vec<u8> {
    format!("the picture {n} {}", "x".repeat(n as usize % 500)).into_bytes()
}

pub(crate) fn edit_id(n: u64) -> EditId {
    EditId::from_bytes(u128::from(n + 1).to_be_bytes())
}

fn generation(n: u64) -> Generation {
    from_value(json!({
        "embedding": {
            "id": format!("0000000000000000000000000{}", n + 1), "model_fingerprint": "m", "tap": "vision.7",
            "pooling": "mean", "lambda": n as f64, "encoder_fingerprint": "e", "vision_dim": DIM - 1,
            "sentence_dim": 1,
        },
        "chosen": n > 0,
    }))
    .unwrap()
}

fn record(n: u64) -> EditRecord {
    let id = ImageId::of(&picture(n));
    let statement = |text: &str| json!({"statement": text, "evidence": [], "p_yes": null});
    from_value(json!({
        "id": edit_id(n), "created_at": "2026-01-01T00:00:00Z",
        "image": {"id": id, "width": 600, "height": 450}, "question": format!("What is {n}?"), "answer": "no",
        "choices": ["yes", "no"], "reasoning": [statement("a"), statement("b")], "author": null, "tags": [], "metadata": {"n": n},
        "embedding": generation(0).embedding.id, "before": null, "timings_ms": {"all": 0.1},
        "idempotency": {"key": format!("key {n}"), "body": vec![n as u8; 32]},
    }))
    .unwrap()
}

fn members(n: u64, generation: u64) -> Vec<Member> {
    let member = |ordinal: u32| -> Member {
        let key: Vec<f32> = (0..DIM)
            .map(|i| {
                ((n * 7 + generation) % 13) as f32 + (i as f32 * (n as f32 + 1.0)).sin() + ordinal as f32
            })
            .collect();
        from_value(json!({
            "id": MemberId::derive(edit_id(n), ordinal), "edit": edit_id(n), "ordinal": ordinal,
            "kind": if ordinal == 0 { "answer" } else { "statement" },
            "statement": ordinal.checked_sub(1), "image": ImageId::of(&picture(n)), "area": null,
            "sentence": format!("Sentence {ordinal} of {n}."), "key": key, "radius": 1.0,
        }))
        .unwrap()
    };
    (0..3).map(member).collect()
}
