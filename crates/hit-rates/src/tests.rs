use std::path::Path;
use std::sync::Arc;

use reasonedit_codebook::{
    CodebookConfig, EditId, EditRecord, EntryKind, ImageId, ImageStore, Library, Member, MemberId,
    MemoryStore,
};
use reasonedit_editor::{EditorConfig, Paraphrase};
use reasonedit_imaging::{RgbImage, encode_png};
use reasonedit_inference::{Engine, EngineConfig, Models};
use reasonedit_models::LoadOptions;
use serde_json::{Value, json};

use super::markdown::Agreement;
use super::score::{
    Halves, Outcome, Question, Tally, cell, chance, differences, mean_distance, retrieve, share,
};
use super::*;

/// Edits of the scripted scene. Each has an answer and a statement, both on its picture; pictures lie on a
/// line, 100 apart.
const EDITS: usize = 6;

fn at(place: f32) -> Vec<f32> {
    vec![place, 0.0]
}

fn record(id: EditId) -> EditRecord {
    serde_json::from_value(json!({
        "id": id, "created_at": "1970-01-01T00:00:00Z", "question": "What is it?", "answer": "it", "choices": [],
        "image": {"id": ImageId::of(b"picture"), "width": 9, "height": 9}, "author": null, "tags": [], "metadata": null,
        "reasoning": [{"statement": "See there."}], "embedding": id, "before": null, "timings_ms": {}, "idempotency": null,
    }))
    .unwrap()
}

/// Two taps. Both see the edits' pictures where they lie; the first sees similar pictures beside them, the
/// second three edits away. A question about a statement is asked on a picture near the next edit's: the
/// picture misleads, the words lead. Edits 0 and 2 say the same sentence.
fn scene() -> Scene {
    let mut scene = Scene { texts: vec![vec![0.0]], ..Scene::default() };
    scene.texts.extend((0..EDITS).map(|i| vec![50.0 + 10.0 * i as f32]));
    for i in 0..EDITS {
        let id = EditId::from_bytes([i as u8 + 1; 16]);
        let said = if i == 2 { 0 } else { i };
        let member = |ordinal: u32, kind, sentence| Member {
            id: MemberId::derive(id, ordinal),
            edit: id,
            ordinal,
            kind,
            statement: ordinal.checked_sub(1),
            image: ImageId::of(b"picture"),
            area: None,
            sentence,
            key: Vec::new(),
            radius: 1.0,
        };
        let answer = member(0, EntryKind::Answer, format!("The answer is {i}."));
        let statement = member(1, EntryKind::Statement, format!("Statement {said}."));
        scene.edits.push((record(id), vec![answer, statement]));
        let own = at(100.0 * i as f32);
        let halves = |first: &[f32], second: &[f32], text| Halves {
            pictures: vec![first.to_vec(), second.to_vec()],
            text,
        };
        scene.entries.extend([halves(&own, &own, 0), halves(&own, &own, 1 + said)]);
        let astray = at(100.0 * ((i + 3) % EDITS) as f32 + 1.0);
        let next = at(100.0 * ((i + 1) % EDITS) as f32 + 10.0);
        let question = |kind, halves| Question { edit: i, kind, halves };
        scene.questions.extend([
            question(QuestionKind::Edited, halves(&own, &own, 0)),
            question(QuestionKind::Similar, halves(&at(100.0 * i as f32 + 1.0), &astray, 0)),
            question(QuestionKind::Rationale, halves(&next, &next, 1 + said)),
        ]);
    }
    scene
}

fn ask(scene: &Scene, tap: usize, weight: f64) -> Vec<Outcome> {
    let layout = Layout { model: "m", encoder: "e", config: CodebookConfig::default() };
    let key = TapKey { tap: format!("vision.{tap}"), pooling: Pooling::Mean };
    retrieve(scene, tap, &key, weight, &layout).unwrap()
}

#[test]
fn a_scripted_scene_has_the_hit_rates_it_must_have() {
    let scene = scene();
    let rates = |tap, weight: f64| {
        let cell = cell(&scene, tap, weight, &ask(&scene, tap, weight));
        let of = |kind| cell.kinds.iter().find(|k| k.kind == kind).unwrap().hits;
        let six = |share: HitShare| (share.value * share.n as f64).round() as usize;
        let counts = [QuestionKind::Edited, QuestionKind::Similar, QuestionKind::Rationale].map(|kind| {
            assert_eq!(of(kind).first.n, EDITS);
            (six(of(kind).first), six(of(kind).among))
        });
        assert_eq!(of(QuestionKind::Related).first, HitShare::default(), "nothing was asked");
        (counts, cell.other.first)
    };
    // Where words count for little, the picture misleads: the own statement is among the nearest, but never
    // the nearest; past the end not even that.
    let (counts, other) = rates(0, 0.01);
    assert_eq!(counts, [(6, 6), (6, 6), (0, 5)]);
    // Every edit has one hit of two questions: nothing varies over edits.
    assert_eq!((other.value, other.standard_error, other.n), (0.5, 0.0, 12));
    // Where they count for much, they lead, also to the same sentence said of another edit.
    let (counts, other) = rates(0, 100.0);
    assert_eq!((counts, other.value), ([(6, 6), (6, 6), (6, 6)], 1.0));
    // The other tap sees similar pictures elsewhere.
    let (counts, other) = rates(1, 0.01);
    assert_eq!((counts, other.value), ([(6, 6), (0, 0), (0, 5)], 0.0));
    assert_eq!(rates(1, 100.0).0, [(6, 6), (0, 4), (6, 6)]);

    // Of twelve keys, edits 0 and 2 have three that say their sentences, the others two.
    assert!((chance(&scene) - 14.0 / 72.0).abs() < 1e-12);
}

#[test]
fn what_taps_find_is_compared_question_by_question() {
    let scene = scene();
    let cells = [ask(&scene, 0, 0.01), ask(&scene, 1, 0.01), ask(&scene, 0, 100.0)];
    let all = differences(&scene, &cells);
    let values: Vec<_> = all.iter().map(|d| (d.first, d.second, d.value, d.standard_error)).collect();
    assert_eq!(values, [(0, 1, 0.5, 0.0), (0, 2, -0.5, 0.0), (1, 2, -1.0, 0.0)]);

    // By hand: p = 1/2, residuals 1/2 and -1/2, so √(2/1 · 1/2) / 4.
    let by_edit = [Tally { sum: 2.0, n: 3 }, Tally { sum: 0.0, n: 1 }, Tally::default()];
    assert_eq!(share(&by_edit), HitShare { value: 0.5, standard_error: 0.25, n: 4 });
    assert_eq!(share(&by_edit[..1]).standard_error, 0.0);
    assert_eq!(mean_distance(&[&[0.0, 0.0], &[3.0, 4.0], &[0.0, 0.0]]), 10.0 / 3.0);
    assert_eq!(mean_distance(&[&[1.0]]), 0.0);
}

fn report(model: &str, encoder: &str) -> ModularityReport {
    let statistic = |mean: f64| json!({"mean": mean, "standard_deviation": 0.01, "standard_error": 0.005});
    let choice = |chosen: Value| {
        json!({"chosen": chosen, "value": statistic(0.5), "runner_up": null, "lead": null, "incumbent": null,
            "lead_over_incumbent": null})
    };
    let tap = |name: &str, stage: &str, pooling: &str, bimodal: f64| {
        json!({"tap": name, "stage": stage, "pooling": pooling, "bimodal_modularity": statistic(bimodal),
            "vision_modularity": statistic(0.0), "language_modularity": statistic(0.0),
            "vision_bias": statistic(0.0), "language_bias": statistic(0.0)})
    };
    serde_json::from_value(json!({
        "measured_on": {"source": "world", "samples_available": 9, "samples": 4, "runs": 2, "weight_samples": 4,
            "weight_runs": 2, "seed": 0, "model": model, "sentence_encoder": encoder, "nodes": 16, "bimodal_nodes": 28},
        "in_use": null,
        "selection": {"tap": choice(json!({"tap": "vision.1", "pooling": "mean"})), "weight": choice(json!(5.0))},
        "taps": [
            tap("vision.0", "vision", "mean", 0.2),
            tap("vision.0", "vision", "last", -0.9),
            tap("vision.1", "vision", "mean", 0.3),
            tap("merger", "bridge", "mean", 0.25),
            tap("language.0", "language", "mean", 0.4),
            tap("language.1", "language", "mean", 0.1),
            tap("language.1", "language", "last", 0.2),
        ],
        "weights": [], "network": null,
    }))
    .unwrap()
}

#[test]
fn the_telling_taps_are_the_chosen_the_worst_and_the_last_layer() {
    let report = report("m", "e");
    let taps: Vec<(String, Pooling)> =
        telling_taps(&report).into_iter().map(|k| (k.tap, k.pooling)).collect();
    // The last layer is the worst here: of the others vision.0 is.
    assert_eq!(taps, ["vision.1", "vision.0", "language.1"].map(|tap| (tap.to_owned(), Pooling::Mean)));
    assert_eq!(telling_weights(&report), [0.5, 5.0, 50.0]);
    let all: Vec<String> = mean_taps(&report).into_iter().map(|key| key.tap).collect();
    assert_eq!(all, ["vision.0", "vision.1", "merger", "language.0", "language.1"]);
}

/// The page of two taps under one weight; the first has the greater modularity, and finds so much more.
fn found(difference: f64) -> HitRates {
    let statistic = |mean| Statistic { mean, standard_deviation: 0.001, standard_error: 0.0005 };
    let tap = |name: &str, mean| ComparedTap {
        key: TapKey { tap: name.to_owned(), pooling: Pooling::Mean },
        stage: Stage::Vision,
        bimodal_modularity: statistic(mean),
        picture_distance: 2.0,
    };
    let cell = |tap, value| {
        let hits =
            HitCounts { first: HitShare { value, standard_error: 0.02, n: 40 }, ..HitCounts::default() };
        let kinds = QuestionKind::ALL.map(|kind| KindHits { kind, hits: HitCounts::default() });
        HitRateCell { tap, weight: 5.0, kinds: kinds.to_vec(), other: hits }
    };
    HitRates {
        records: ["r0".to_owned(), "r9".to_owned()],
        edits: 10,
        entries: 50,
        model: "m".to_owned(),
        report_source: "world".to_owned(),
        chosen: (TapKey { tap: "vision.1".to_owned(), pooling: Pooling::Mean }, 5.0),
        hubness: true,
        by_kind: false,
        chance: 0.1,
        text_distance: 4.0,
        taps: vec![tap("vision.1", 0.4), tap("vision.0", 0.1)],
        cells: vec![cell(0, 0.5 + difference), cell(1, 0.5)],
        differences: vec![Difference { first: 0, second: 1, value: difference, standard_error: 0.03 }],
    }
}

#[test]
fn the_verdict_follows_the_figures() {
    let cases = [
        (0.2, Agreement { with: 1, ..Agreement::default() }, "Here it does, as far", "No other does better"),
        (
            -0.2,
            Agreement { against: 1, ..Agreement::default() },
            "Here it does not",
            "by 0.200 ± 0.030, more",
        ),
        (
            -0.05,
            Agreement { level: 1, ..Agreement::default() },
            "can't be said",
            "by 0.050 ± 0.030, not more",
        ),
    ];
    for (difference, agreement, verdict, choice) in cases {
        let found = found(difference);
        assert_eq!(found.agreement(), agreement);
        let page = found.markdown();
        assert!(page.contains(verdict) && page.contains(choice), "{page}");
        // 5 · 4 over 2.
        assert!(page.contains("| vision.1 (mean) | 0.4000 ± 0.0010 | 2.000 | 10.00 |"), "{page}");
        assert!(page.contains("| vision.0 (mean) | 5 | - | - | - | - | - | 0.500 ± 0.020 |"), "{page}");
    }
}

#[test]
fn many_taps_have_a_rank_correlation() {
    let with = |modularity: &[f64], hits: &[f64]| {
        let mut found = found(0.0);
        let (tap, cell) = (found.taps[0].clone(), found.cells[0].clone());
        found.taps = modularity.iter().map(|_| tap.clone()).collect();
        for (tap, mean) in found.taps.iter_mut().zip(modularity) {
            tap.bimodal_modularity.mean = *mean;
        }
        // Under its other weight each finds nothing: that one doesn't count.
        found.cells = (0..hits.len())
            .flat_map(|tap| [(tap, 0.0), (tap, hits[tap])])
            .map(|(tap, value)| {
                let mut cell = HitRateCell { tap, ..cell.clone() };
                cell.other.first.value = value;
                cell
            })
            .collect();
        found.rank_correlation()
    };
    assert_eq!(with(&[0.1, 0.2, 0.3, 0.4], &[0.1, 0.2, 0.3, 0.4]), None, "too few");
    assert!((with(&[0.1, 0.2, 0.3, 0.4, 0.9], &[0.5, 0.6, 0.7, 0.8, 0.81]).unwrap() - 1.0).abs() < 1e-12);
    // By numpy.corrcoef of the ranks 1 to 5 and 3.5, 1, 3.5, 5, 2.
    let some = with(&[0.1, 0.2, 0.3, 0.4, 0.9], &[0.7, 0.2, 0.7, 0.9, 0.3]).unwrap();
    assert!((some - 0.102_597_835_208_515_4).abs() < 1e-12, "{some}");
    assert_eq!(with(&[0.1, 0.2, 0.3, 0.4, 0.9], &[0.5; 5]), None, "nothing to rank");
}

async fn editor() -> (Editor, tempfile::TempDir) {
    let golden = |name: &str| format!("{}/../models/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"));
    let load = move || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&golden("qwen3_vl-1"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&golden("mpnet-1"), &options)?,
        })
    };
    let engine = Engine::start(load, EngineConfig::default()).unwrap();
    let mut config = EditorConfig::default();
    config.radius.paraphrase = Paraphrase::Rules;
    config.radius.pairs = 1;
    config.embedding.tap = Some("vision.0".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(Arc::new(MemoryStore::new()), config.codebook).unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    (Editor::new(engine, Arc::new(library), images, config).await.unwrap(), folder)
}

fn write_records(folder: &Path) {
    let mut lines = String::new();
    for i in 0..3u8 {
        for (name, shift) in [("edit", 0), ("other", 9)] {
            let image = RgbImage::from_fn(48, 40, |x, y| {
                let inside = (12..30).contains(&x) && (8..28).contains(&y);
                if inside { [80 * i + shift, 90, 200 - 60 * i] } else { [230, (x % 7) as u8 * 9, 220] }.into()
            });
            std::fs::write(folder.join(format!("{i}-{name}.png")), encode_png(&image).unwrap()).unwrap();
        }
        let line = json!({
            "uid": format!("r{i}"), "image": format!("{i}-edit.png"), "question": format!("What is specimen {i}?"),
            "answer": "a", "choices": ["a", "b"], "reasoning": [format!("Specimen {i} is round."), "It is small."],
            "evidence": [[{"x": 12, "y": 8, "width": 18, "height": 20}], []], "paraphrases": ["Which one is it?"],
            "similar_images": [format!("{i}-other.png")],
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    std::fs::write(folder.join("edits.jsonl"), lines).unwrap();
}

#[tokio::test]
async fn keys_are_the_editors_own_and_edited_questions_find_them_under_every_tap() {
    let (editor, _folder) = editor().await;
    let data = tempfile::tempdir().unwrap();
    write_records(data.path());
    let (info, encoder) =
        (editor.engine().info().await.unwrap(), editor.engine().sentence_info().await.unwrap());
    let report = report(&info.fingerprint, &encoder.fingerprint);
    let key = |tap: &str, pooling| TapKey { tap: tap.to_owned(), pooling };
    let options = HitRateOptions {
        edits: 10,
        codebook: CodebookName::default(),
        given_boxes: true,
        taps: vec![key("vision.0", Pooling::Mean), key("language.1", Pooling::Last)],
        weights: vec![0.0, editor.config().embedding.lambda],
    };
    let found = measure(&editor, data.path(), &report, &options, |_, _, _| {}).await.unwrap();
    assert_eq!((found.edits, found.records.clone()), (3, ["r0".to_owned(), "r2".to_owned()]));
    assert_eq!((found.cells.len(), found.differences.len()), (4, 6));
    assert!(found.taps.iter().all(|tap| tap.picture_distance > 0.0) && found.text_distance > 0.0);
    let by_weight = |weight: f64| found.cells.iter().filter(move |cell| cell.weight == weight);
    for cell in by_weight(options.weights[1]) {
        let edited = cell.kinds[0];
        assert_eq!(
            (edited.kind, edited.hits.first.value, edited.hits.first.n),
            (QuestionKind::Edited, 1.0, 3)
        );
        assert_eq!(cell.other.first.n, 6);
    }

    // The same keys as the editor's, for the tap and weight that it is configured with.
    let dataset = Dataset::open(data.path()).unwrap();
    let snapshot = editor.library().get(&options.codebook).unwrap().snapshot();
    let mut scene = Scene::default();
    for record in snapshot.edits() {
        let members = snapshot.members_of(record.id).map(|member| member.as_ref().clone());
        scene.edits.push((record.as_ref().clone(), members.collect()));
    }
    embed::embed(&editor, &dataset, &dataset.records, &options.taps, &mut scene, &|_, _, _| {})
        .await
        .unwrap();
    let members = scene.edits.iter().flat_map(|(_, members)| members);
    assert_eq!(found.entries, scene.entries.len());
    let mut compared = 0;
    for (member, halves) in members.zip(&scene.entries) {
        let key = scene.key(halves, 0, editor.config().embedding.lambda);
        assert_eq!(key.len(), member.key.len());
        let off = key.iter().zip(&member.key).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{off}");
        compared += 1;
    }
    assert!(compared >= 3 * 4, "an answer, two statements on the picture and one on its box: {compared}");

    // What can't be compared is refused by name.
    let refused = async |report: &ModularityReport, options: &HitRateOptions| {
        measure(&editor, data.path(), report, options, |_, _, _| {}).await.unwrap_err().to_string()
    };
    assert!(refused(&report, &options).await.contains("the codebook default is not empty"));
    let fresh = HitRateOptions { codebook: "fresh".parse().unwrap(), ..options.clone() };
    let unknown = HitRateOptions { taps: vec![key("vision.7", Pooling::Last)], ..fresh.clone() };
    assert!(refused(&report, &unknown).await.contains("vision.7 (last)"));
    let wrong = HitRateOptions { weights: vec![f64::NAN], ..fresh.clone() };
    assert!(refused(&report, &wrong).await.contains("weights"));
    assert!(refused(&super::tests::report("x", "y"), &fresh).await.contains("other models"));
    assert!(!editor.has_keys(&fresh.codebook).unwrap(), "what was refused made no edit");
}
