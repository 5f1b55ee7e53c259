use futures::executor::block_on;

use super::*;
use crate::plan::Sequential;
use crate::report::{EvaluationReport, InFrontFigures, MetricFigures, Provenance};
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

/// Records of the synthetic world, which knows what is true.
fn true_records(count: usize) -> Vec<Record> {
    let world = reasonedit_world::record::records(1_000_077, count).unwrap();
    serde_json::from_value(json!(world.records)).unwrap()
}

#[test]
fn what_is_put_in_front_is_told_by_truth_where_the_data_know_it() {
    let plan = plan(&["oracle", "injector", "never"], 60);
    let (report, _) = measure(&true_records(100), &plan, Scripts::default()).unwrap();
    let figures = |name: &str| report.editors.get(name).unwrap();
    let values = |estimates: [crate::Estimate; 5]| estimates.map(|estimate| estimate.value.unwrap());
    let front = |name: &str| {
        let of = figures(name).in_front;
        values([
            of.true_hit_at_5,
            of.hit_at_5,
            of.false_injection_related,
            of.false_injection_unrelated,
            of.false_injection_contrast,
        ])
    };
    // What an edit says is true of everything that it is to change, and of nothing that it must not.
    let [true_hit, hit, related, unrelated, contrast] = front("oracle");
    assert_eq!((true_hit, hit, related, contrast), (1.0, 1.0, 0.0, 1.0));
    assert!(unrelated > 0.9, "{unrelated}");
    for metric in Metric::ALL.into_iter().filter(|metric| !metric.keeps()) {
        let figure = figures("oracle").metrics.get(metric.name()).unwrap();
        assert_eq!((figure.true_hit_at_5, figure.false_injection), (Some(1.0), Some(0.0)), "{metric:?}");
        // Its answer comes first: not every question about the reasoning asks for it.
        let first = figure.true_hit_at_1.unwrap();
        assert_eq!(first < 1.0, metric == Metric::RationaleGenerality, "{metric:?}: {first}");
    }
    let [true_hit, hit, related, unrelated, contrast] = front("injector");
    assert!(related > 0.85 && unrelated > 0.95 && contrast > 0.95, "{related} {unrelated} {contrast}");
    // Others say what is true too: more often than the right edit is drawn by chance.
    assert!((true_hit + related - 1.0).abs() < 1e-9 && true_hit > hit, "{true_hit} {hit}");
    assert_eq!(front("never"), [0.0; 5]);
    assert_eq!(figures("never").in_front.rejected_related.value, Some(1.0));
    assert_eq!(figures("unedited").in_front, InFrontFigures::default());
    assert!(!report.markdown().contains("not known"));
}

#[test]
fn without_truth_it_is_not_known_what_was_in_front() {
    let plan = plan(&["always"], 20);
    let mut without = true_records(40);
    for record in &mut without {
        record.meanings.clear();
    }
    for records in [records(40), without] {
        let (report, _) = measure(&records, &plan, Scripts::default()).unwrap();
        let always = report.editors.get("always").unwrap();
        assert!(always.in_front.hit_at_1.value.is_some());
        assert_eq!((always.in_front.true_hit_at_1.value, always.in_front.true_hit_at_1.n), (None, 0));
        assert_eq!(always.in_front.false_injection_unrelated.value, None);
        assert_eq!(always.metrics.get("reliability").unwrap().true_hit_at_1, None);
        assert!(report.markdown().contains("| always | not known | not known |"));
    }
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
        (editor.seconds, editor.peak_mb) = (None, None);
    }
    for (_, course) in &mut report.sequential.0 {
        for test in &mut course.tests {
            test.query_ms = None;
        }
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
    for picture in ["metrics", "generality", "cost", "sequential", "decay", "noise", "sensitivity"] {
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

/// The share of right answers to the edited questions.
fn reliability(figures: &MetricFigures) -> f64 {
    figures.get("reliability").unwrap().right.value.unwrap()
}

#[test]
fn an_edit_alone_knows_nothing_of_the_others() {
    let plan = EvaluationPlan { single: true, ..plan(&["forgetful", "fragile", "always"], 40) };
    let (report, _) = measure(&records(40), &plan, Scripts::default()).unwrap();
    let single = |name: &str| report.single.get(name).unwrap();
    // All at once the last ten are remembered; alone each is.
    assert_eq!(reliability(&report.editors.get("forgetful").unwrap().metrics), 0.25);
    assert_eq!(reliability(&single("forgetful").metrics), 1.0);
    let metrics = &single("forgetful").metrics;
    assert!(metrics.0.iter().all(|(_, figure)| figure.right.value == Some(1.0)), "{metrics:?}");
    // One edit at a time is kept: 500 bytes.
    let forgetful = single("forgetful");
    assert_eq!(
        (forgetful.edits, forgetful.kb_per_edit_merged, forgetful.edit_ms),
        (40, Some(0.5), Some(2.0))
    );
    // What says the same to everything keeps nothing: its mean is 0, whatever else it does.
    assert_eq!(single("always").harmonic_mean.all.value, Some(0.0));
    assert_eq!(single("forgetful").harmonic_mean.paper.value, Some(1.0));
    assert!(report.markdown().contains("## Each edit alone"));
}

#[test]
fn the_first_edits_are_tested_when_they_are_all_that_there_are() {
    let plan = EvaluationPlan { sizes: vec![20, 1, 10, 40, 500], ..plan(&["forgetful"], 40) };
    let (report, _) = measure(&records(40), &plan, Scripts::default()).unwrap();
    let sizes = report.sizes.get("forgetful").unwrap();
    let seen: Vec<(usize, f64, usize)> = sizes
        .iter()
        .map(|size| {
            (size.edits, reliability(&size.metrics), size.metrics.get("reliability").unwrap().right.n)
        })
        .collect();
    assert_eq!(seen, [(1, 1.0, 1), (10, 1.0, 10), (20, 0.5, 20), (40, 0.25, 40)]);
    assert!(report.markdown().contains("## So many edits live at once"));
}

#[test]
fn edits_that_fail_are_counted_and_the_others_go_on() {
    let plan = EvaluationPlan {
        single: true,
        sizes: vec![10],
        sequential: Some(Sequential { every: 10, sample: 10 }),
        ..plan(&["fragile"], 30)
    };
    let (report, _) = measure(&records(30), &plan, Scripts::default()).unwrap();
    let whole = report.editors.get("fragile").unwrap();
    // 1, 4, … 28.
    assert_eq!((whole.edits, whole.failed_edits), (30, 10));
    assert!((reliability(&whole.metrics) - 2.0 / 3.0).abs() < 1e-9);
    let single = report.single.get("fragile").unwrap();
    assert_eq!((single.edits, single.failed_edits), (30, 10));
    assert!((reliability(&single.metrics) - 2.0 / 3.0).abs() < 1e-9);
    let sizes: Vec<usize> =
        report.sizes.get("fragile").unwrap().iter().map(|size| size.failed_edits).collect();
    assert_eq!(sizes, [3, 10]);
    let tests = &report.sequential.get("fragile").unwrap().tests;
    assert_eq!(tests.iter().map(|test| test.failed_edits).collect::<Vec<_>>(), [3, 7, 10]);
    assert!(report.markdown().contains("failed edits"));
}

/// A plan with every protocol, of an editor that writes its state.
fn everything(out: &std::path::Path) -> EvaluationPlan {
    EvaluationPlan {
        single: true,
        sizes: vec![1, 7],
        sequential: Some(Sequential { every: 8, sample: 4 }),
        out: Some(out.to_owned()),
        ..plan(&["weights"], 20)
    }
}

#[test]
fn edits_are_not_made_again_where_the_editor_writes_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, asked) =
        measure(&records(20), &everything(&folder.path().join("whole")), Scripts::default()).unwrap();
    let data = tempfile::tempdir().unwrap();
    let data = world(data.path(), &records(20));
    // Stopped after every question: what it costs is the edits since the last state, and one that is alone.
    let stopped = everything(&folder.path().join("stopped"));
    let mut made = 0;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let scripts = Scripts { fails_after: Some(9), ..Scripts::default() };
        let scripts: &'static Scripts = Box::leak(Box::new(scripts));
        let done = block_on(evaluate(&scripts, &data, &stopped, &json!({"data": "x"}), &|_, _, _| {}));
        made += scripts.made.load(std::sync::atomic::Ordering::Relaxed);
        match done {
            Ok(measured) => {
                let report = EvaluationReport::new(&measured, &stopped, Provenance::default(), Vec::new());
                assert_eq!(untimed(report), untimed(expected));
                break;
            }
            Err(error) => assert!(error.to_string().contains("the power went"), "{error}"),
        }
        assert!(rounds < asked, "it doesn't go on");
    }
    assert!(rounds > 10, "it was not stopped often enough to show anything: {rounds}");
    // 20 alone and 20 one after another; of the latter none twice, because every stop comes behind a state.
    assert!((40..=40 + rounds).contains(&made), "{made} edits in {rounds} rounds");
    let states = std::fs::read_dir(folder.path().join("stopped/state/weights/plain")).unwrap();
    let names: Vec<String> =
        states.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["edits-20"], "the last state alone is kept");
}

#[test]
fn there_is_one_editor_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = world(folder.path(), &records(10));
    let plan = EvaluationPlan {
        single: true,
        noise: vec![(NoiseKind::Replace, 50)],
        ..plan(&["weights", "reader", "fragile"], 10)
    };
    let scripts: &'static Scripts = Box::leak(Box::default());
    block_on(evaluate(&scripts, &data, &plan, &json!({}), &|_, _, _| {})).unwrap();
    assert_eq!(scripts.most_alive.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn the_report_says_where_reasonedit_is_not_ahead() {
    let (report, _) =
        measure(&records(40), &plan(&["reasonedit", "forgetful", "always"], 40), Scripts::default()).unwrap();
    let page = report.markdown();
    assert!(page.contains("is ahead of each of the 2 other editors; the next is forgetful"), "{page}");
    assert!(page.contains("In no single figure is another editor ahead of it."));
    // The edits remembered are enough: both are perfect.
    let (report, _) =
        measure(&records(10), &plan(&["reasonedit", "forgetful"], 10), Scripts::default()).unwrap();
    assert!(report.markdown().contains("is not ahead of forgetful"), "{}", report.markdown());
}
