//! Data for the tests of this crate: edits whose keys lie in clusters, so that merges really happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use reasonedit_imaging::PixelRules;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::Seeds;
use crate::ids::{EditId, GenerationId, ImageId, MemberId};
use crate::member::{EntryKind, Member};
use crate::records::{EditRecord, Embedding, Generation, ImageInfo, Statement};
use crate::store::SharedEdit;

/// `SplitMix64`: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The `n`-th edit; greater `n` are later.
pub(crate) fn edit_id(n: u128) -> EditId {
    EditId(Ulid::from_parts(1_700_000_000_000 + n as u64, n))
}

pub(crate) fn embedding(dim: u32) -> Embedding {
    Embedding {
        id: GenerationId(Ulid::from_parts(1_600_000_000_000, 1)),
        model_fingerprint: "model".to_owned(),
        tap: "vision.3".to_owned(),
        pooling: "mean".to_owned(),
        lambda: 30.0,
        encoder_fingerprint: "encoder".to_owned(),
        vision_dim: dim - 1,
        sentence_dim: 1,
        // As in the fixtures of `migrations`, which are older than the others.
        pixels: PixelRules::First,
        seeds: Seeds::Ids,
    }
}

pub(crate) fn generation(dim: u32) -> Generation {
    Generation { embedding: embedding(dim), chosen: false }
}

/// Another generation: an id for each `n`, but only two values of λ.
pub(crate) fn other_generation(n: u128, dim: u32) -> Generation {
    let id = GenerationId(Ulid::from_parts(1_600_000_000_001, n));
    Generation { embedding: Embedding { id, lambda: 1.0 + (n % 2) as f64, ..embedding(dim) }, chosen: true }
}

pub(crate) fn member(edit: EditId, ordinal: u32, key: Vec<f32>, radius: f32) -> Member {
    Member {
        id: MemberId::derive(edit, ordinal),
        edit,
        ordinal,
        kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
        statement: ordinal.checked_sub(1),
        image: ImageId::of(&edit.to_bytes()),
        area: None,
        sentence: format!("Sentence {}.", edit.0.random() % 5 + u128::from(ordinal)),
        key,
        radius,
    }
}

/// Edits as snapshots share them.
pub(crate) fn shared(edits: impl IntoIterator<Item = (EditRecord, Vec<Member>)>) -> Vec<SharedEdit> {
    let share =
        |(record, members): (_, Vec<_>)| (Arc::new(record), members.into_iter().map(Arc::new).collect());
    edits.into_iter().map(share).collect()
}

/// `count` members of the `n`-th edit. Their keys lie within `spread` of one of six centres, so with radii
/// about 1 and the default merge rule a spread of 0.02 to 0.1 makes some merge and some not.
pub(crate) fn members(n: u128, count: u32, dim: usize, spread: f32) -> Vec<Member> {
    let mut random = Random::new(n as u64 ^ 0xABCD);
    (0..count)
        .map(|ordinal| {
            let centre = random.next() % 6;
            let mut of_centre = Random::new(centre);
            let key = (0..dim).map(|_| of_centre.unit() + spread * random.unit()).collect();
            member(edit_id(n), ordinal, key, 1.0 + 0.03 * random.unit())
        })
        .collect()
}

pub(crate) fn record(n: u128, statements: usize) -> EditRecord {
    EditRecord {
        warnings: Vec::new(),
        id: edit_id(n),
        created_at: OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(n as i64),
        image: ImageInfo { id: ImageId::of(&n.to_be_bytes()), width: 600, height: 450 },
        question: format!("Is lesion {n} benign or malignant?"),
        answer: "malignant".to_owned(),
        choices: vec!["benign".to_owned(), "malignant".to_owned()],
        reasoning: (0..statements)
            .map(|i| Statement {
                statement: format!("Statement {i}."),
                evidence: Vec::new(),
                p_yes: None,
                prior: None,
            })
            .collect(),
        author: Some(format!("author-{}", n % 3)),
        tags: vec![format!("tag-{}", n % 2)],
        metadata: serde_json::json!({"case": n as u64, "weight": 0.1}),
        embedding: embedding(2).id,
        before: None,
        timings_ms: BTreeMap::from([("embed".to_owned(), 12.345_678_901_234_567)]),
        relations: reasonedit_records::relations::Relations::default(),
        idempotency: None,
    }
}
