//! What is handed on of a picture. Trainers open files with Pillow and mostly leave it at that: turned ones
//! stay turned, transparency shows what it hides, 16 bits become white. A file that is shown alike everywhere
//! goes out as it came; of any other, the pixels that the model saw, as PNG.

use reasonedit_codebook::{CodebookError, ImageId};
use reasonedit_imaging::{ImageFormat, decode_under, encode_png, plain_format};

use crate::error::TrainingDataError;
use crate::source::TrainingSource;

/// A picture that every reader shows alike.
pub(crate) struct HandedOn {
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: ImageFormat,
    /// Whether it was made into a PNG.
    pub(crate) converted: bool,
}

impl HandedOn {
    /// The picture, or `None` if it is lost or damaged.
    ///
    /// # Errors
    /// `Codebook` if the store can't be read.
    pub(crate) fn of(id: ImageId, source: &TrainingSource<'_>) -> Result<Option<Self>, TrainingDataError> {
        let bytes = match source.images.get(id) {
            Ok(bytes) => bytes,
            Err(CodebookError::UnknownImage(_) | CodebookError::HarmedImages(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(format) = plain_format(&bytes) {
            return Ok(Some(Self { bytes, format, converted: false }));
        }
        let decoded = decode_under(&bytes, source.limits, source.rules);
        let png = decoded.and_then(|decoded| encode_png(&decoded.image)).ok();
        Ok(png.map(|bytes| Self { bytes, format: ImageFormat::Png, converted: true }))
    }

    /// Its name: that of the uploaded bytes, and what the file is.
    pub(crate) fn name(&self, id: ImageId) -> String {
        format!("{id}.{}", self.format.extension())
    }
}
