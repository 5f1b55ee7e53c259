use reasonedit_codebook::{CodebookConfig, Retrieval, Snapshot};

use super::*;
use crate::testing;

#[test]
fn a_radius_is_the_median_of_odd_even_and_none() {
    assert_eq!(median_radius(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median_radius(vec![4.0, 1.0]), 2.5);
    assert_eq!(median_radius(Vec::new()), 0.0);
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
