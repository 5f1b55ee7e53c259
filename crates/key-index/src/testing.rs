//! Data for the tests of this crate.

use std::sync::Arc;

use ulid::Ulid;

use crate::ids::{EditId, ImageId, MemberId};
use crate::key::{Key, KeyState};
use crate::member::{EntryKind, Member};

/// `SplitMix64`: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
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

/// A key of one member; greater `n` are later.
pub(crate) fn lone_key(n: u128, vector: Vec<f32>) -> Key {
    let edit = EditId(Ulid::from_parts(1_700_000_000_000 + n as u64, n));
    let members = [Arc::new(Member {
        id: MemberId::derive(edit, 0),
        edit,
        ordinal: 0,
        kind: EntryKind::Answer,
        statement: None,
        image: ImageId::of(&edit.to_bytes()),
        area: None,
        sentence: "A sentence.".to_owned(),
        key: vector,
        radius: 1.0,
    })];
    Key::new(&members, &KeyState::of(&members).unwrap()).unwrap()
}
