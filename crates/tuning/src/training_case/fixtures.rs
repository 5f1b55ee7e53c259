//! A few cases on the demo model, for tests.

use std::sync::Arc;

use reasonedit_imaging::RgbImage;
use reasonedit_models::{LoadOptions, VisionLanguageModel};

use super::TrainingCase;
use crate::method::{Correction, Question};
use crate::picture::Picture;

pub(crate) fn demo() -> Arc<dyn VisionLanguageModel> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");
    reasonedit_models::load(folder, &LoadOptions::default()).unwrap().into()
}

/// A picture that no other number has.
pub(crate) fn picture(number: u8) -> Arc<Picture> {
    let pixel = |x: u32, y: u32| [(x * 3) as u8 ^ number, (y * 2) as u8, number.wrapping_mul(37)].into();
    Arc::new(RgbImage::from_fn(56, 56, pixel).into())
}

pub(crate) fn question(number: u8, text: &str) -> Question {
    let choices = ["pumpkin", "square", "violet", "left"].map(str::to_owned).to_vec();
    Question { picture: picture(number), text: text.to_owned(), choices }
}

pub(crate) fn correction(number: u8, text: &str) -> Correction {
    let question = question(number, text);
    let reply = question.choices[usize::from(number) % 4].clone();
    Correction { question, reply }
}

pub(crate) fn cases(count: u8) -> Vec<TrainingCase> {
    let case = |number: u8| TrainingCase {
        correction: correction(number, "What is this specimen called?"),
        in_other_words: vec![correction(number, "Which name does the specimen have?")],
        on_other_pictures: vec![Correction {
            question: question(number + 100, "What is this specimen called?"),
            ..correction(number, "What is this specimen called?")
        }],
        unrelated: vec![question(number + 200, "What color is it?")],
    };
    (0..count).map(case).collect()
}
