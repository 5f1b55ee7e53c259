//! Measuring with random weights: the figures mean nothing, but they have to be the same however the work was
//! cut.

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::testing::{config, engine, picture};

/// Few and small draws.
fn request() -> ModularityRequest {
    ModularityRequest {
        samples: 3,
        runs: 2,
        weight_samples: 3,
        weight_runs: 2,
        mismatched: 2,
        weights: log_spaced(0.1, 10.0, 3),
        ..ModularityRequest::default()
    }
}

fn samples(count: u64) -> SampleSet {
    let mut samples = SampleSet::new("pictures");
    for seed in (0..count).map(|at| at * 7 + 1) {
        assert!(samples.add(picture(seed), [format!("Specimen {seed} has a dark rim.")]));
    }
    samples
}

/// Keeps what is finished, and gives up after so many checkpoints.
#[derive(Default)]
struct Keeping {
    kept: Mutex<Option<ModularityState>>,
    steps: Mutex<Vec<(&'static str, u64, u64)>>,
    last: usize,
    count: Mutex<usize>,
}

impl ModularityWatch for Keeping {
    fn progress(&self, stage: &'static str, done: u64, total: u64) {
        self.steps.lock().push((stage, done, total));
    }

    fn checkpoint<'a>(&'a self, state: &'a ModularityState) -> BoxFuture<'a, Result<(), EditorError>> {
        Box::pin(async move {
            // As a journal does.
            let json = serde_json::to_vec(state).unwrap();
            *self.kept.lock() = Some(serde_json::from_slice(&json).unwrap());
            let mut count = self.count.lock();
            *count += 1;
            if *count == self.last { Err(EditorError::Cancelled) } else { Ok(()) }
        })
    }
}

async fn editor() -> (tempfile::TempDir, Editor) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine("mpnet-1");
    let editor = crate::testing::open(folder.path(), &engine, config()).await.unwrap();
    (folder, editor)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_measurement_ends_like_an_uninterrupted_one() {
    let (_folder, editor) = editor().await;
    let (name, samples, request) = (CodebookName::default(), samples(9), request());
    let all = Keeping::default();
    let start = ModularityState::default();
    let whole = editor.measure_modularity(&name, &samples, &request, start, &all).await.unwrap();
    for last in 1..=3 {
        let first = Keeping { last, ..Keeping::default() };
        let ended =
            editor.measure_modularity(&name, &samples, &request, ModularityState::default(), &first).await;
        assert!(matches!(ended, Err(EditorError::Cancelled)));
        let state = first.kept.into_inner().unwrap();
        let again = editor.measure_modularity(&name, &samples, &request, state, &()).await.unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&whole).unwrap());
    }

    // Every tap with both poolings; every weight; a network; progress that reaches its total in both stages.
    assert_eq!(whole.taps.len(), editor.core.model().taps.len() * 2);
    // The three that were asked for, and the one in use.
    assert_eq!(whole.weights.len(), 4);
    assert!(whole.network.is_some());
    let steps = all.steps.into_inner();
    for stage in ["taps", "weights"] {
        let (_, done, total) = *steps.iter().rfind(|(name, ..)| *name == stage).unwrap();
        assert!(done == total && total > 0, "{stage}: {done} of {total}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_measured_is_refused_by_name() {
    let (_folder, editor) = editor().await;
    let refused = |request: ModularityRequest, count: u64| {
        let error = editor.check_modularity(&request, Some(&samples(count))).unwrap_err();
        let EditorError::Invalid(fields) = error else { panic!("{error:?}") };
        (fields[0].pointer.clone(), fields[0].detail.clone())
    };
    let (pointer, detail) = refused(request(), 2);
    assert_eq!(pointer, "/samples");
    assert!(detail.contains("needs 3 samples") && detail.contains("there are 2"), "{detail}");
    assert_eq!(refused(ModularityRequest { runs: 0, ..request() }, 9).0, "/runs");
    assert_eq!(refused(ModularityRequest { weights: vec![2.0, 1.0], ..request() }, 9).0, "/weights");
    assert_eq!(refused(ModularityRequest { pooling: vec![Pooling::Last], ..request() }, 9).0, "/pooling");
    let taps = vec!["vision.0".to_owned(), "vision.99".to_owned()];
    assert_eq!(refused(ModularityRequest { taps, ..request() }, 9).0, "/taps/1");
    let taps = vec!["language.0".to_owned()];
    assert_eq!(refused(ModularityRequest { taps, ..request() }, 9).0, "/taps");
    editor.check_modularity(&request(), Some(&samples(9))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_that_sees_the_picture_alone_is_vision_biased_throughout() {
    let (_folder, editor) = editor().await;
    let request = ModularityRequest { taps: vec!["vision.0".into(), "language.0".into()], ..request() };
    let state = ModularityState::default();
    let report =
        editor.measure_modularity(&CodebookName::default(), &samples(9), &request, state, &()).await.unwrap();
    let vision = report.taps.iter().find(|tap| tap.tap == "vision.0").unwrap();
    // Another text changes nothing, another picture everything.
    assert_eq!((vision.figures.vision_bias.mean, vision.figures.language_bias.mean), (1.0, -1.0));
    assert!(vision.figures.vision_modularity.mean > vision.figures.language_modularity.mean);
    assert_eq!(report.selection.tap.chosen.tap, "vision.0");
}
