use reasonedit_models::LoadOptions;

use super::*;
use crate::TuningError;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");

fn demo() -> Box<dyn VisionLanguageModel> {
    reasonedit_models::load(DEMO, &LoadOptions::default()).unwrap()
}

fn question(seed: u8, text: &str) -> Question {
    let pixel = |x: u32, y: u32| [(x as u8).wrapping_mul(seed), y as u8 * 2, 90 + seed].into();
    let choices = ["pumpkin", "square", "triangle", "gourd"].map(str::to_owned).to_vec();
    Question { picture: Arc::new(RgbImage::from_fn(96, 64, pixel).into()), text: text.to_owned(), choices }
}

fn correction(question: &Question, reply: &str) -> Correction {
    Correction { question: question.clone(), reply: reply.to_owned() }
}

#[test]
fn an_edit_holds_where_it_should_and_outlasts_a_restart() {
    let model = demo();
    let folder = tempfile::tempdir().unwrap();
    for last_token in [false, true] {
        let settings = BalancEditSettings { last_token, alpha: 0.5, ..BalancEditSettings::default() };
        let mut editor = BalancEdit::new(settings, folder.path());
        let edited = question(3, "What is this specimen called?");
        let again = Question { text: "Say, what is this specimen called?".to_owned(), ..edited.clone() };
        let unseen = Question { picture: Arc::new(black(&edited.picture).unwrap()), ..edited.clone() };
        let before = editor.answer(&*model, &unseen).unwrap();
        assert!(before.rejected && before.used.is_empty());
        editor.edit(&*model, &correction(&edited, "pumpkin")).unwrap();
        for question in [&edited, &again] {
            let answer = editor.answer(&*model, question).unwrap();
            assert_eq!((answer.text.as_str(), answer.used.as_slice()), ("pumpkin", &[0][..]));
        }
        // The negative sample lies beyond the radius.
        assert_eq!(editor.answer(&*model, &unseen).unwrap(), before);

        let saved = folder.path().join("saved");
        std::fs::create_dir(&saved).unwrap();
        editor.save(&saved).unwrap();
        // Another edit, a restart, and the edit again: all as if there had been none.
        let other = question(40, "What is the rim of the specimen?");
        let second = correction(&other, "gourd");
        editor.edit(&*model, &second).unwrap();
        let mut restored = BalancEdit::new(settings, folder.path());
        restored.restore(&*model, &saved).unwrap();
        restored.edit(&*model, &second).unwrap();
        assert_eq!(restored.bytes(), editor.bytes());
        for question in [&edited, &again, &unseen, &other] {
            let free = Question { choices: Vec::new(), ..question.clone() };
            for question in [question, &free] {
                let answers = [&restored, &editor].map(|e| e.answer(&*model, question).unwrap());
                assert_eq!(answers[0], answers[1]);
            }
        }
        let of_others = BalancEditSettings { alpha: 0.1, ..settings };
        let refused = BalancEdit::new(of_others, folder.path()).restore(&*model, &saved).unwrap_err();
        assert!(matches!(refused, TuningError::File { .. }), "{refused}");
        std::fs::remove_dir_all(saved).unwrap();
    }
}

#[test]
fn equal_replies_within_a_radius_share_weights_and_saved_ones_are_those_in_use() {
    let model = demo();
    let folder = tempfile::tempdir().unwrap();
    let mut editor = BalancEdit::new(BalancEditSettings::default(), folder.path());
    let first = question(3, "What is this specimen called?");
    let second = Question { text: "Say, what is this specimen called?".to_owned(), ..first.clone() };
    let mut saved = Vec::new();
    for (question, reply, weights) in [(&first, "pumpkin", 1), (&second, "pumpkin", 1), (&first, "gourd", 2)]
    {
        editor.edit(&*model, &correction(question, reply)).unwrap();
        let into = tempfile::tempdir().unwrap();
        editor.save(into.path()).unwrap();
        assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), weights + 1);
        saved.push((into, editor.bytes()));
    }
    assert!(saved[0].1 == saved[1].1 && saved[1].1 < saved[2].1);
    let saved = saved[2].0.path();
    let mut restored = BalancEdit::new(BalancEditSettings::default(), folder.path());
    restored.restore(&*model, saved).unwrap();
    assert_eq!(restored.answer(&*model, &second).unwrap(), editor.answer(&*model, &second).unwrap());
}

#[test]
fn a_loss_that_is_no_number_leaves_everything_as_it_was() {
    let model = demo();
    let folder = tempfile::tempdir().unwrap();
    let settings = BalancEditSettings { learning_rate: 1e30, ..BalancEditSettings::default() };
    let mut editor = BalancEdit::new(settings, folder.path());
    let failed = editor.edit(&*model, &correction(&question(3, "What is it?"), "gourd")).unwrap_err();
    assert!(matches!(failed, TuningError::NonFiniteLoss { .. }), "{failed}");
    assert_eq!(editor.bytes(), 0);
    assert!(editor.answer(&*model, &question(3, "What is it?")).unwrap().rejected);
}

#[test]
fn differences_are_kept_to_a_part_in_two_hundred_and_fifty() {
    let model = demo();
    let suffix = last_suffix(&*model).unwrap();
    let own = own_weights(&suffix).unwrap();
    let changed = own.0.iter().map(|(place, weight)| (*place, (weight.sin().unwrap() * 1.01).unwrap()));
    let tuned = WeightPatch(changed.collect());
    let restored = Differences::between(&tuned, &own).unwrap().onto(&own).unwrap();
    for (place, weight) in &own.0 {
        let flat = |patch: &WeightPatch| patch.0[place].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let before: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
        for ((exact, kept), before) in flat(&tuned).into_iter().zip(flat(&restored)).zip(before) {
            assert!((exact - kept).abs() <= (exact - before).abs() / 250.0 + 1e-7);
        }
    }
}
