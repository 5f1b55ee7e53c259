use futures::executor::block_on;

use super::*;
use crate::report::{EvaluationReport, Provenance};
use crate::runner::SEARCHED;
use crate::testing::{Scripts, plan, record, world};

/// Runs on so many records and makes the report.
fn measure(
    records: &[Record],
    plan: &EvaluationPlan,
    scripts: Scripts,
) -> Result<(EvaluationReport, usize), EvaluationError> {
    let folder = tempfile::tempdir().unwrap();
    let data = world(folder.path(), records);
    let scripts: &'static Scripts = Box::leak(Box::new(scripts));
    let measured = block_on(evaluate(&scripts, &data, plan, &json!({"data": "x"}), &|_, _, _| {}))?;
    let report = EvaluationReport::new(&measured, plan, Provenance::default(), Vec::new());
    Ok((report, scripts.asked.load(std::sync::atomic::Ordering::Relaxed)))
}

fn records(count: usize) -> Vec<Record> {
    (0..count).map(record).collect()
}

fn value(report: &EvaluationReport, editor: &str, metric: Metric) -> f64 {
    report.editors.get(editor).unwrap().metrics.get(metric.name()).unwrap().right.value.unwrap()
}

#[test]
fn every_metric_can_fail_and_can_be_met() {
    let plan = plan(&["always", "never", "random", "reasonedit"], 80);
    let (report, _) = measure(&records(80), &plan, Scripts::default()).unwrap();
    for metric in Metric::ALL {
        let kept = if metric.keeps() { 1.0 } else { 0.0 };
        for (editor, expected) in
            [("always", 1.0 - kept), ("never", kept), ("unedited", kept), ("reasonedit", 1.0)]
        {
            assert_eq!(value(&report, editor, metric), expected, "{editor}, {}", metric.name());
        }
        // Four standard errors of 80 coins.
        assert!((value(&report, "random", metric) - 0.5).abs() < 0.23, "{}", metric.name());
        let chance = report.editors.get("random").unwrap().metrics.get(metric.name()).unwrap().right;
        assert_eq!(chance.n, 80);
        let width = chance.high.unwrap() - chance.low.unwrap();
        assert!((0.15..0.3).contains(&width), "{}: {width}", metric.name());
    }
}

#[test]
fn what_retrieval_did_is_told_apart_from_what_was_answered() {
    let plan = plan(&["always", "never", "random", "reasonedit", "third"], 80);
    let (report, _) = measure(&records(80), &plan, Scripts::default()).unwrap();
    let editor = |name: &str| report.editors.get(name).unwrap();
    let figure = |name: &str| *editor(name).metrics.get("text_generality").unwrap();
    assert_eq!((figure("always").hit_at_1, figure("always").hit_at_5), (Some(1.0 / 80.0), Some(1.0 / 80.0)));
    assert_eq!((figure("never").hit_at_1, figure("never").rejected), (Some(0.0), Some(1.0)));
    assert_eq!((figure("reasonedit").hit_at_1, figure("reasonedit").rejected), (Some(1.0), None));
    assert_eq!((figure("third").hit_at_1, figure("third").hit_at_5), (Some(0.0), Some(1.0)));
    assert_eq!((figure("unedited").hit_at_1, editor("unedited").false_injection.value), (None, None));
    assert_eq!(editor("always").metrics.get("locality").unwrap().hit_at_1, None);
    // Locality and hard locality are the unrelated questions: 80 of the one, and as many of the other.
    for (name, expected) in [("always", 1.0), ("never", 0.0), ("reasonedit", 0.0), ("third", 1.0)] {
        let injected = editor(name).false_injection;
        assert_eq!((injected.value, injected.n), (Some(expected), 160), "{name}");
    }
    assert!((editor("random").false_injection.value.unwrap() - 0.5).abs() < 0.2);
    assert_eq!((editor("always").kb_per_edit_merged, editor("always").edit_ms), (Some(0.5), Some(2.0)));
    // Compared question by question.
    let over = |name: &str, metric: &str| editor(name).over_reasonedit.get(metric).unwrap().value.unwrap();
    assert_eq!((over("always", "reliability"), over("always", "contrast")), (0.0, -1.0));
    assert!(editor("reasonedit").over_reasonedit.0.is_empty());
}

#[test]
fn edits_are_errors_and_what_is_kept_was_right() {
    let mut all = records(10);
    // The model is right on these; the answers of others were wrong before.
    for right in [1, 4] {
        all[right].sample.answer = "plain".into();
    }
    all[0].unrelated[0].answer = "special".into();
    all[0].contrast[0].answer = "special".into();
    let (report, _) = measure(&all, &plan(&["never"], 5), Scripts::default()).unwrap();
    assert_eq!((report.edits, report.right_before), (5, 2));
    let never = report.editors.get("never").unwrap();
    assert_eq!(never.metrics.get("locality").unwrap().right.n, 4);
    assert_eq!(never.metrics.get("contrast").unwrap().right.n, 4);
    // Hard questions come from the other records as well.
    assert_eq!(never.metrics.get("hard_locality").unwrap().right.n, 9);
    let nothing = measure(&all[1..2], &plan(&["never"], 5), Scripts::default()).unwrap_err();
    assert!(nothing.to_string().contains("nothing to edit"), "{nothing}");
}

#[test]
fn what_the_data_lack_is_named_and_empty() {
    let mut all = records(3);
    for record in &mut all {
        record.paraphrases.clear();
        record.unrelated.clear();
    }
    let (report, _) = measure(&all, &plan(&["reasonedit"], 3), Scripts::default()).unwrap();
    assert_eq!(report.lacking, [Metric::TextGenerality, Metric::Locality, Metric::HardLocality]);
    let json = serde_json::to_value(&report).unwrap();
    let text = &json["editors"]["reasonedit"]["metrics"]["text_generality"];
    assert_eq!((text["value"].is_null(), text["n"].as_u64()), (true, Some(0)));
    assert!(report.markdown().contains("no questions for: text, locality, hard locality"));
}

#[test]
fn an_evaluation_that_was_stopped_goes_on_and_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let with = |out: &std::path::Path| EvaluationPlan {
        out: Some(out.to_owned()),
        ..plan(&["random", "third"], 40)
    };
    let whole = with(&folder.path().join("whole"));
    let (expected, asked) = measure(&records(40), &whole, Scripts::default()).unwrap();

    let stopped = with(&folder.path().join("stopped"));
    let mut again = 0;
    for fails_after in [10, 100, 150] {
        let scripts = Scripts { fails_after: Some(fails_after), ..Scripts::default() };
        let error = measure(&records(40), &stopped, scripts).unwrap_err();
        assert!(error.to_string().contains("the power went"), "{error}");
        again += fails_after;
    }
    let (report, rest) = measure(&records(40), &stopped, Scripts::default()).unwrap();
    // Each stop costs at most the stretch that was under way.
    assert!(again + rest < asked + 3 * SEARCHED, "{again} + {rest} for {asked}");
    assert!(rest < asked - 100);
    assert_eq!(untimed(report), untimed(expected));
    // A whole one costs nothing.
    let (_, nothing) = measure(&records(40), &stopped, Scripts::default()).unwrap();
    assert_eq!(nothing, 0);
    // And keeps what is not asked for this time.
    let other = EvaluationPlan { editors: vec!["never".into()], ..stopped.clone() };
    let (report, _) = measure(&records(40), &other, Scripts::default()).unwrap();
    let names: Vec<&str> = report.editors.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["unedited", "never", "random", "third"]);
    let error =
        measure(&records(40), &EvaluationPlan { edits: 39, ..stopped }, Scripts::default()).unwrap_err();
    assert!(error.to_string().contains("`edits` was 40 and is 39 now"), "{error}");
}

/// Without what a clock said.
fn untimed(mut report: EvaluationReport) -> EvaluationReport {
    for (_, editor) in &mut report.editors.0 {
        (editor.query_ms, editor.edit_ms) = (None, None);
    }
    report
}

#[test]
fn one_edit_after_another_shows_what_is_forgotten() {
    let plan = EvaluationPlan {
        all_at_once: false,
        sequential: Some(Sequential { every: 20, sample: 20 }),
        ..plan(&["forgetful", "reasonedit"], 50)
    };
    let (report, _) = measure(&records(50), &plan, Scripts::default()).unwrap();
    let tests = |name: &str| {
        let course = report.sequential.get(name).unwrap();
        let right = |test: &crate::report::SequentialTest| {
            test.metrics.get("reliability").unwrap().right.value.unwrap()
        };
        let reliability: Vec<f64> = course.tests.iter().map(right).collect();
        (course.tests.iter().map(|test| test.edits).collect::<Vec<_>>(), reliability)
    };
    assert_eq!(tests("reasonedit"), (vec![20, 40, 50], vec![1.0; 3]));
    let (_, forgotten) = tests("forgetful");
    // Ten of twenty are remembered; of forty and fifty by chance as many as were drawn.
    assert_eq!(forgotten[0], 0.5);
    assert!(forgotten[1] < 0.5 && forgotten[2] < 0.5, "{forgotten:?}");
    assert_eq!(report.protocol, Some(Sequential { every: 20, sample: 20 }));
    // All at once was not asked for.
    assert!(report.editors.get("reasonedit").unwrap().metrics.0.is_empty());
}

#[test]
fn drift_is_told_where_there_are_enough_edits() {
    let plan = EvaluationPlan {
        all_at_once: false,
        sequential: Some(Sequential { every: 500, sample: 10 }),
        ..plan(&["reasonedit", "forgetful"], 2000)
    };
    let (report, _) = measure(&records(2000), &plan, Scripts::default()).unwrap();
    let drift = report.sequential.get("forgetful").unwrap().drift.clone().unwrap();
    assert_eq!((drift.first.get("reliability").unwrap().n, drift.last.get("locality").unwrap().n), (20, 20));
    assert!(report.markdown().contains("first 1,000"));
}

#[test]
fn noise_takes_its_exact_share() {
    let noise = vec![(NoiseKind::Replace, 30), (NoiseKind::Replace, 50), (NoiseKind::Add, 50)];
    let plan = EvaluationPlan { noise, ..plan(&["reader", "always"], 40) };
    let (report, _) = measure(&records(40), &plan, Scripts::default()).unwrap();
    let levels: Vec<(NoiseKind, u32, f64)> = report
        .noise
        .get("reader")
        .unwrap()
        .iter()
        .map(|level| {
            (level.kind, level.percent, level.metrics.get("reliability").unwrap().right.value.unwrap())
        })
        .collect();
    let expected = [
        (NoiseKind::Replace, 0, 1.0),
        (NoiseKind::Replace, 30, 0.7),
        (NoiseKind::Replace, 50, 0.5),
        (NoiseKind::Add, 0, 1.0),
        (NoiseKind::Add, 50, 1.0),
    ];
    assert_eq!(levels, expected);
    assert!(report.noise.get("always").is_none(), "what doesn't read the reasoning is not asked again");
}

#[test]
fn settings_of_retrieval_are_varied_on_the_same_edits() {
    let sweeps = vec![(RetrievalSetting::K, vec![1.0, 3.0]), (RetrievalSetting::Tau, vec![10.0])];
    let plan = EvaluationPlan { sweeps, ..plan(&["third", "always"], 10) };
    let (report, _) = measure(&records(10), &plan, Scripts::default()).unwrap();
    let points: Vec<(RetrievalSetting, f64, f64)> = report
        .sensitivity
        .get("third")
        .unwrap()
        .iter()
        .map(|point| {
            (point.setting, point.value, point.metrics.get("reliability").unwrap().right.value.unwrap())
        })
        .collect();
    assert_eq!(points, [(RetrievalSetting::K, 1.0, 0.0), (RetrievalSetting::K, 3.0, 1.0)]);
    assert!(report.sensitivity.get("always").is_none());
}

#[test]
fn the_report_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let plan = EvaluationPlan {
        sequential: Some(Sequential { every: 10, sample: 5 }),
        noise: vec![(NoiseKind::Replace, 50)],
        sweeps: vec![(RetrievalSetting::K, vec![1.0, 3.0])],
        ..plan(&["reasonedit", "reader", "third"], 20)
    };
    let (report, _) = measure(&records(20), &plan, Scripts::default()).unwrap();
    report.write(folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    for picture in ["metrics", "sequential", "noise", "sensitivity"] {
        let svg = std::fs::read_to_string(folder.path().join(format!("{picture}.svg"))).unwrap();
        assert!(page.contains(&format!("({picture}.svg)")), "{picture}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{picture}: a coordinate is no number");
    }
    assert!(folder.path().join("report.json").is_file());
}

#[test]
fn the_shape_of_the_report_holds() {
    let (report, _) = measure(&records(2), &plan(&["reasonedit"], 2), Scripts::default()).unwrap();
    let report = untimed(report);
    insta::assert_snapshot!("report_json", serde_json::to_string_pretty(&report).unwrap());
    insta::assert_snapshot!("report_markdown", report.markdown());
}
