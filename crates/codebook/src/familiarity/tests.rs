use proptest::prelude::*;

use super::*;
use crate::RetrievalParams;
use crate::config::FamiliarityConfig;
use crate::snapshot::Snapshot;
use crate::testing::{edit_id, embedding, member, record};

/// Of two dimensions, the first of the picture.
const DIM: u32 = 3;

fn config(pictures: usize) -> CodebookConfig {
    CodebookConfig {
        familiarity: FamiliarityConfig { pictures, ..Default::default() },
        retrieval: RetrievalParams { familiarity: true, ..Default::default() },
        ..Default::default()
    }
}

/// An answer about a picture, whose place in the picture's part follows from which it is.
fn answer(edit: u128, picture: u8, text: f32) -> Arc<Member> {
    let image = ImageId::of(&[picture]);
    let place = f32::from(picture);
    Arc::new(Member { image, ..member(edit_id(edit), 0, vec![place, place * place % 7.0, text], 1.0) })
}

proptest! {
    /// Whatever edits came and went, and however many were about one picture.
    #[test]
    fn history_does_not_matter(steps in prop::collection::vec((0u128..12, 0u8..6, any::<bool>()), 1..60), x in -3f32..9.0) {
        let (embedding, config) = (embedding(DIM), config(2));
        let mut seen = SeenPictures::new(Some(&embedding), &config);
        let mut live = std::collections::BTreeMap::new();
        for (edit, picture, add) in steps {
            if live.remove(&edit).is_some() {
                seen = seen.copy();
                seen.remove(edit_id(edit));
            }
            if add {
                let member = answer(edit, picture, edit as f32);
                seen.add([&member]);
                live.insert(edit, member);
            }
        }
        let mut anew = SeenPictures::new(Some(&embedding), &config);
        anew.add(live.values());
        let key = [x, 1.0, 1e6];
        prop_assert_eq!(seen.of(&key, &config), anew.of(&key, &config));
        let pictures: std::collections::BTreeSet<_> = live.values().map(|member| member.image).collect();
        prop_assert_eq!(seen.of(&key, &config).is_some(), pictures.len() >= 2);
        prop_assert_eq!(seen.space.index().len(), pictures.len());
    }
}

#[test]
fn a_picture_like_none_gets_nothing_and_a_known_one_what_it_got_before() {
    let config = Arc::new(config(30));
    let build = |count: u8| {
        let edits = (0..count).map(|n| Arc::new(record(u128::from(n), 0)));
        let members = (0..count).map(|n| answer(u128::from(n), n, 0.0));
        Snapshot::build(Arc::clone(&config), Some(Arc::new(embedding(DIM))), edits, members)
    };
    let snapshot = build(40);
    let params = RetrievalParams { gate: false, ..RetrievalParams::default() };
    let asked = RetrievalParams { familiarity: true, ..params };
    for (x, familiar) in [(3.2, true), (39.0, true), (45.0, true), (90.0, false), (-60.0, false)] {
        let query = [x, 1.0, 0.0];
        let (before, found) =
            (snapshot.retrieve(&query, &params).unwrap(), snapshot.retrieve(&query, &asked).unwrap());
        assert!(before.familiarity.is_none() && !before.facts.is_empty());
        let held = found.familiarity.unwrap();
        assert_eq!((held.familiar(), found.rejected), (familiar, !familiar), "{x} {held:?}");
        // The near miss is told.
        assert_eq!(found.nearest, before.nearest);
        assert_eq!(found.facts, if familiar { before.facts } else { Vec::new() });
    }
    // Too few to tell.
    assert_eq!(build(29).retrieve(&[90.0, 1.0, 0.0], &asked).unwrap().familiarity, None);
}

#[test]
fn where_states_depend_on_the_text_no_picture_is_told_from_others() {
    let config = config(2);
    let embedding = Embedding { tap: "language.3".to_owned(), ..embedding(DIM) };
    let mut seen = SeenPictures::new(Some(&embedding), &config);
    for n in 0..9 {
        seen.add([&answer(u128::from(n), n, 0.0)]);
    }
    assert_eq!(seen.of(&[90.0, 1.0, 0.0], &config), None);
}
