use reasonedit_codebook::{CodebookConfig, Retrieval, Snapshot};

use super::*;
use crate::testing;

#[test]
fn a_radius_is_the_median_of_odd_even_and_none() {
    assert_eq!(median_radius(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median_radius(vec![4.0, 1.0]), 2.5);
    assert_eq!(median_radius(Vec::new()), 0.0);
}

#[test]
fn seeds_by_ids_differ_by_edit_purpose_and_index() {
    let of = |n| EditSeeds { rules: Seeds::Ids, edit: EditId(ulid::Ulid::from_parts(1, n)) };
    let seeds = [
        of(1).augmentation(b"picture", None, 0, 0),
        of(2).augmentation(b"picture", None, 0, 0),
        of(1).paraphrase("text", 0, 0),
        of(1).augmentation(b"picture", None, 1, 0),
    ];
    assert_eq!(distinct(seeds.into_iter()).len(), 4);
    // As they were for the keys that are stored.
    assert_eq!(seeds[0], 11_378_322_485_718_025_604);
    assert_eq!(of(1).paraphrase("text", 3, 1), seeds[2].wrapping_add(3));
}

#[test]
fn seeds_by_content_differ_by_what_they_are_about_alone() {
    let of = |n| EditSeeds { rules: Seeds::Content, edit: EditId(ulid::Ulid::from_parts(1, n)) };
    let part = |width| Some(PixelBox { x: 1, y: 2, width, height: 4 });
    let seeds = [
        of(1).augmentation(b"picture", None, 0, 0),
        of(1).augmentation(b"other", None, 0, 0),
        of(1).augmentation(b"picture", part(3), 0, 0),
        of(1).augmentation(b"picture", part(5), 0, 0),
        of(1).augmentation(b"picture", None, 0, 1),
        of(1).paraphrase("text", 0, 0),
        of(1).paraphrase("other", 0, 0),
        of(1).paraphrase("text", 0, 1),
    ];
    assert_eq!(distinct(seeds.into_iter()).len(), 8);
    assert_eq!(of(1).augmentation(b"picture", part(3), 0, 1), of(2).augmentation(b"picture", part(3), 7, 1));
    assert_eq!(of(1).paraphrase("text", 0, 1), of(2).paraphrase("text", 5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_edits_are_the_same_codebook_everywhere() {
    let engine = testing::engine("mpnet-1");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut snapshots = Vec::new();
    for folder in &folders {
        let mut config = testing::config();
        config.radius.pairs = 3;
        // Fewer keys in the sample than there are.
        config.codebook.gate.reservoir = 5;
        let editor = testing::open(folder.path(), &engine, config).await.unwrap();
        for seed in 0..4 {
            testing::edit(&editor, seed).await;
        }
        snapshots.push(testing::book(&editor).snapshot());
    }
    let [here, there] = snapshots.try_into().unwrap_or_else(|_| unreachable!());
    let made = |snapshot: &Snapshot| -> Vec<_> {
        let members = snapshot.members();
        members.map(|m| (m.ordinal, m.sentence.clone(), m.radius.to_bits(), m.key.clone())).collect()
    };
    assert_eq!(made(&here), made(&there));
    assert_ne!(here.members().next().unwrap().id, there.members().next().unwrap().id);
    let params = CodebookConfig::default().retrieval;
    assert_eq!(here.threshold(&params), there.threshold(&params));
    for member in here.members() {
        let [a, b] = [&here, &there].map(|snapshot| snapshot.retrieve(&member.key, &params).unwrap());
        let facts = |retrieval: &Retrieval| -> Vec<_> {
            retrieval.facts.iter().map(|fact| (fact.value.clone(), fact.distance.to_bits())).collect()
        };
        assert_eq!((facts(&a), a.rejected), (facts(&b), b.rejected));
    }
}
