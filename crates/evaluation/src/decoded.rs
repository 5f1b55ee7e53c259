//! Pictures of data sets, decoded as the service decodes them, for editors that put them to the model
//! themselves.

use std::collections::HashMap;
use std::sync::Arc;

use reasonedit_dataset::{Dataset, Sample};
use reasonedit_editor::{EditorError, ImageSource};
use reasonedit_imaging::{DecodeLimits, RgbImage, decode};
use reasonedit_tuning::Question;

use crate::EvaluationError;

/// A picture, which has to be there as bytes.
///
/// # Errors
/// Another source, and what can't be decoded within the limits.
pub(crate) fn decoded(image: &ImageSource, limits: &DecodeLimits) -> Result<Arc<RgbImage>, EvaluationError> {
    let ImageSource::Bytes(bytes) = image else {
        return Err(EvaluationError::Data("pictures are taken as bytes".to_owned()));
    };
    Ok(Arc::new(decode(bytes, limits).map_err(EditorError::from)?.image))
}

/// Pictures of a data set, each decoded once.
pub(crate) struct DecodedPictures<'a> {
    data: &'a Dataset,
    limits: &'a DecodeLimits,
    pictures: HashMap<String, Arc<RgbImage>>,
}

impl<'a> DecodedPictures<'a> {
    /// None so far.
    pub(crate) fn new(data: &'a Dataset, limits: &'a DecodeLimits) -> Self {
        Self { data, limits, pictures: HashMap::new() }
    }

    /// A sample with its picture.
    ///
    /// # Errors
    /// As [`decoded`]; a picture that can't be read.
    pub(crate) fn question(&mut self, sample: &Sample) -> Result<Question, EvaluationError> {
        let picture = if let Some(picture) = self.pictures.get(&sample.image) {
            Arc::clone(picture)
        } else {
            let picture = decoded(&self.data.picture(&sample.image)?, self.limits)?;
            self.pictures.insert(sample.image.clone(), Arc::clone(&picture));
            picture
        };
        Ok(Question { picture, text: sample.question.trim().to_owned(), choices: sample.choices.clone() })
    }
}
