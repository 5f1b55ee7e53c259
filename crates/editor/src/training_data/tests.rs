use std::collections::BTreeMap;

use reasonedit_training_data::{Trainer, TrainingTask};

use super::*;
use crate::config::OnMismatch;
use crate::testing;
use crate::types::CallContext;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_is_of_the_model_that_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = testing::config();
    config.embedding.on_mismatch = OnMismatch::Reembed;
    let mut fingerprints = Vec::new();
    for (model, seeds) in [("qwen3_vl-1", 0..2), ("qwen3_vl-2", 2..3)] {
        let engine = testing::engine_of(model, "mpnet-1");
        let editor = testing::open(folder.path(), &engine, config.clone()).await.unwrap();
        fingerprints.push(editor.core.model().fingerprint.clone());
        for seed in seeds {
            let request = crate::EditRequest { verify: true, ..testing::request(seed) };
            editor.edit(&CodebookName::default(), request, CallContext::default()).await.unwrap();
        }
        let options = TrainingOptions::new(Trainer::Trl, TrainingTask::Dpo);
        let manifest =
            editor.training_data(&CodebookName::default(), options, std::io::sink()).await.unwrap();
        assert_eq!(manifest.model.fingerprint, fingerprints[fingerprints.len() - 1]);
        let expected = match &fingerprints[..] {
            // The loaded one gave all.
            [_] => None,
            [first, second] => Some(BTreeMap::from([(first.clone(), 2), (second.clone(), 1)])),
            _ => unreachable!(),
        };
        assert_eq!(manifest.answers_before, expected);
        editor.shutdown().await;
        drop(editor);
    }
    assert_ne!(fingerprints[0], fingerprints[1]);
}
