//! Keys of pairs: an editor whose tap depends on picture and text together.

use reasonedit_codebook::CodebookName;

use crate::testing::{self, book, edit, engine, made_from_scratch, open, picture};
use crate::types::{CallContext, QueryRequest, RetrievalOverride};
use crate::{EditorConfig, EditorError};

const ENCODER: &str = "mpnet-1";

fn at(tap: &str) -> EditorConfig {
    let mut config = testing::config();
    config.embedding.tap = Some(tap.to_owned());
    config.embedding.lambda = 0.0;
    // A merged key lies between those it is made of, and which merge depends on radii, which the edit's id
    // seeds.
    config.codebook.merge.enabled = false;
    config
}

#[tokio::test]
async fn a_language_tap_makes_keys_of_picture_and_text_together() {
    let engine = engine(ENCODER);
    for (tap, of_pairs) in [("language.0", true), ("vision.0", false)] {
        let folder = tempfile::tempdir().unwrap();
        let editor = open(folder.path(), &engine, at(tap)).await.unwrap();
        for seed in [1, 2] {
            edit(&editor, seed).await;
        }
        let snapshot = book(&editor).snapshot();
        assert!(snapshot.members().eq(made_from_scratch(&editor).await.members()), "{tap}");
        assert!(snapshot.members().all(|member| member.radius > 0.0));
        // The answer's key and that of a statement on the same whole picture: λ is 0, so that only a tap that
        // has seen the text tells them apart.
        let whole: Vec<_> = snapshot.members().filter(|m| m.area.is_none()).collect();
        assert_eq!(whole[0].edit, whole[1].edit);
        assert_eq!(whole[0].key != whole[1].key, of_pairs, "{tap}");

        let request = |question: &str| QueryRequest {
            image: picture(1),
            question: question.to_owned(),
            choices: vec!["benign".into(), "malignant".into()],
            max_tokens: None,
            max_thinking_tokens: None,
            retrieval: RetrievalOverride { reject_percentile: Some(100.0), ..RetrievalOverride::default() },
            compare: false,
            warnings: Vec::new(),
        };
        let name = CodebookName::default();
        let nearest = async |question: &str| {
            let outcome = editor.query(&name, request(question), CallContext::default()).await.unwrap();
            outcome.retrieval.facts.first().map(|fact| fact.distance).unwrap()
        };
        assert!(nearest("What is specimen 1?").await < 1e-3, "{tap}");
        let other = nearest("Something else altogether, is it not?").await;
        assert_eq!(other > 1e-3, of_pairs, "{tap}: {other}");
    }
}

#[tokio::test]
async fn a_tap_that_the_model_lacks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), &engine(ENCODER), at("language.99")).await;
    let Err(EditorError::Invalid(faults)) = opened else { panic!("it was taken") };
    assert!(faults[0].detail.contains("language.99"), "{faults:?}");
}
