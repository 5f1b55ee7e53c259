use futures::executor::block_on;
use serde_json::json;

use super::*;
use crate::testing::{Scripts, record, world};

fn tuning(editors: &[&str], budget: usize, out: Option<&std::path::Path>) -> TuningPlan {
    TuningPlan {
        editors: editors.iter().map(|name| (*name).to_owned()).collect(),
        budget,
        jobs: 2,
        edits: 20,
        given_boxes: false,
        seed: 3,
        out: out.map(std::path::Path::to_owned),
    }
}

fn run(plan: &TuningPlan, scripts: Scripts) -> (Result<Tuned, EvaluationError>, &'static Scripts) {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<reasonedit_dataset::Record> = (0..25).map(record).collect();
    let data = world(folder.path(), &records);
    let scripts: &'static Scripts = Box::leak(Box::new(scripts));
    (block_on(tune(scripts, &data, plan, &json!({}), &|_, _, _| {})), scripts)
}

#[test]
fn the_best_settings_are_chosen_and_every_trial_is_told() {
    let tuned = run(&tuning(&["tunable"], 100, None), Scripts::default()).0.unwrap();
    let editor = tuned.editors.get("tunable").unwrap();
    // Ten strengths, and the one that was published is one of them.
    assert_eq!((editor.trials.len(), &editor.trials[0].settings), (10, &editor.published));
    assert_eq!(editor.settings, Some(EditorSettings::new([("strength", 9.0)])));
    for trial in &editor.trials {
        let strength = trial.settings.get("strength").unwrap();
        if strength == 7.0 {
            assert!(trial.failed.as_ref().is_some_and(|why| why.contains("7 is too strong")));
            assert_eq!(trial.harmonic_mean, None);
            continue;
        }
        // Five shares of strength/10, and a locality of 1.
        let share = strength / 10.0;
        let mean = if share == 0.0 { 0.0 } else { 6.0 / (5.0 / share + 1.0) };
        assert!((trial.harmonic_mean.unwrap() - mean).abs() < 1e-9, "{trial:?}");
        assert_eq!(trial.figures.get("coe_generality"), Some(&Some(share)));
    }
    assert_eq!((tuned.edits, tuned.budget), (20, 100));
    assert!(tuned.chosen_by.contains("chain of error") && !tuned.used.is_empty());
}

#[test]
fn the_budget_and_the_seed_decide_what_is_tried() {
    let untimed = |mut tuned: Tuned| {
        for (_, editor) in &mut tuned.editors.0 {
            for trial in &mut editor.trials {
                trial.seconds = None;
            }
        }
        tuned
    };
    let plan = tuning(&["tunable"], 4, None);
    let once = untimed(run(&plan, Scripts::default()).0.unwrap());
    assert_eq!(once, untimed(run(&plan, Scripts::default()).0.unwrap()));
    assert_eq!(once.editors.get("tunable").unwrap().trials.len(), 4);
    let other = untimed(run(&TuningPlan { seed: 4, ..plan }, Scripts::default()).0.unwrap());
    assert_ne!(once, other);
    let unknown = run(&tuning(&["reader"], 4, None), Scripts::default()).0.unwrap_err();
    assert!(unknown.to_string().contains("nothing to tune"), "{unknown}");
}

#[test]
fn a_tuning_that_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |scripts: &Scripts| scripts.asked.load(std::sync::atomic::Ordering::Relaxed);
    let plan = tuning(&["tunable"], 10, Some(&folder.path().join("whole")));
    let (whole, scripts) = run(&plan, Scripts::default());
    let all = asked(scripts);
    let chosen = |tuned: &Tuned| tuned.editors.get("tunable").unwrap().settings.clone();

    let plan = tuning(&["tunable"], 10, Some(&folder.path().join("stopped")));
    let stopping = Scripts { fails_after: Some(all / 2), gone: true, ..Scripts::default() };
    let error = run(&plan, stopping).0.unwrap_err();
    assert!(error.to_string().contains("the power went"), "{error}");
    let (again, scripts) = run(&plan, Scripts::default());
    assert!(asked(scripts) < all * 2 / 3, "{} of {all}", asked(scripts));
    assert_eq!(chosen(&again.unwrap()), chosen(&whole.unwrap()));
    // The trials are rows of the folder's report like any editor.
    assert!(folder.path().join("stopped/outcomes/tunable@3.jsonl").is_file());
}

#[test]
fn what_was_tuned_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tuned.json");
    let mut tuned = run(&tuning(&["tunable"], 5, None), Scripts::default()).0.unwrap();
    tuned.model_fingerprint = "abc".into();
    tuned.write(&file).unwrap();
    assert_eq!(Tuned::read(&file).unwrap(), tuned);
    tuned.check_model("abc").unwrap();
    let error = tuned.check_model("def").unwrap_err().to_string();
    assert!(error.contains("abc") && error.contains("def"), "{error}");
    std::fs::write(&file, "{}").unwrap();
    assert!(Tuned::read(&file).unwrap_err().to_string().contains("no result of a tuning"));
}
