//! Pictures for editors that put them to the model themselves, with what the model made of them: the next
//! editor, and the next test, find that done.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_codebook::ImageId;
use reasonedit_dataset::{Dataset, Sample};
use reasonedit_editor::ImageSource;
use reasonedit_imaging::DecodeLimits;
use reasonedit_tuning::{Picture, Question};

use crate::EvaluationError;

/// Memory that pictures take at most, in bytes.
const BUDGET: usize = 512 << 20;
/// Pictures that are looked at between two looks at the memory they take.
const COUNTED_EVERY: usize = 256;

/// See the module's description. Decoded as the service decodes them.
pub(crate) struct PictureCache {
    limits: DecodeLimits,
    budget: usize,
    pictures: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<ImageId, Arc<Picture>>,
    asked: usize,
}

impl PictureCache {
    /// None so far.
    pub(crate) fn new(limits: DecodeLimits) -> Self {
        Self { limits, budget: BUDGET, pictures: Mutex::default() }
    }

    /// A picture, which has to be there as bytes.
    ///
    /// # Errors
    /// Another source.
    pub(crate) fn picture(&self, image: &ImageSource) -> Result<Arc<Picture>, EvaluationError> {
        let ImageSource::Bytes(file) = image else {
            return Err(EvaluationError::Data("pictures are taken as bytes".to_owned()));
        };
        let mut kept = self.pictures.lock();
        kept.asked += 1;
        if kept.asked.is_multiple_of(COUNTED_EVERY) {
            kept.keep_within(self.budget);
        }
        let made = || Arc::new(Picture::encoded(file.to_vec(), self.limits.clone()));
        Ok(Arc::clone(kept.by_id.entry(file.id()).or_insert_with(made)))
    }

    /// A question about a picture.
    ///
    /// # Errors
    /// As [`Self::picture`].
    pub(crate) fn question(
        &self,
        image: &ImageSource,
        text: &str,
        choices: &[String],
    ) -> Result<Question, EvaluationError> {
        Ok(Question {
            picture: self.picture(image)?,
            text: text.trim().to_owned(),
            choices: choices.to_vec(),
        })
    }

    /// A sample of a data set.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub(crate) fn sample(&self, data: &Dataset, sample: &Sample) -> Result<Question, EvaluationError> {
        self.question(&data.picture(&sample.image)?, &sample.question, &sample.choices)
    }
}

impl Kept {
    /// Lets go of pictures until a quarter of the budget is free again, if it is used up. Which ones is left
    /// to chance, the order of a hash map: questions come round in the same order again and again, and of
    /// those the one that was not asked for the longest is needed next.
    fn keep_within(&mut self, budget: usize) {
        let mut bytes: usize = self.by_id.values().map(|picture| picture.bytes()).sum();
        if bytes <= budget {
            return;
        }
        self.by_id.retain(|_, picture| {
            let goes = bytes > budget / 4 * 3;
            if goes {
                bytes -= picture.bytes().min(bytes);
            }
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use reasonedit_imaging::{RgbImage, encode_png};

    use super::*;

    #[test]
    fn a_picture_is_kept_until_the_memory_is_used_up() {
        let cache = PictureCache { budget: 6_000, ..PictureCache::new(DecodeLimits::default()) };
        let file = |number: u32| {
            let pixel = |x: u32, y: u32| [(x * 91 + y * 57 * number) as u8, number as u8, y as u8].into();
            let bytes = encode_png(&RgbImage::from_fn(24, 24, pixel)).unwrap();
            ImageSource::from(bytes::Bytes::from(bytes))
        };
        let first = cache.picture(&file(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.picture(&file(0)).unwrap()));
        for number in 0..2 * COUNTED_EVERY as u32 {
            cache.picture(&file(number % 40)).unwrap();
        }
        cache.pictures.lock().keep_within(6_000);
        let left: usize = cache.pictures.lock().by_id.values().map(|picture| picture.bytes()).sum();
        assert!((1..=6_000).contains(&left), "{left}");
        assert!(cache.picture(&ImageSource::Known(ImageId::of(b"x"))).is_err());
    }
}
