//! What came out of a binary file so far, whatever it is written in: text within bounds, pictures under their
//! names.

use serde_json::Value;

use super::Pictures;

/// Bytes of text that come out of a file.
const TEXT_BYTES: usize = 1 << 30;

/// What came out of a file so far.
pub(super) struct Taken<'a> {
    pictures: &'a mut Pictures,
    text: usize,
}

impl<'a> Taken<'a> {
    /// Nothing yet; pictures go into `pictures`.
    pub(super) fn new(pictures: &'a mut Pictures) -> Self {
        Self { pictures, text: 0 }
    }

    /// A text of the file.
    ///
    /// # Errors
    /// More text than is held.
    pub(super) fn text(&mut self, text: &str) -> Result<Value, String> {
        self.text += text.len();
        if self.text > TEXT_BYTES {
            return Err(format!("more than {} GiB of text", TEXT_BYTES >> 30));
        }
        Ok(Value::from(text))
    }

    /// A picture of the file: its name in the pictures.
    ///
    /// # Errors
    /// More pictures than are held.
    pub(super) fn picture(&mut self, bytes: &[u8]) -> Result<Value, String> {
        Ok(Value::from(self.pictures.keep(bytes)?))
    }

    /// Text that is not marked as such, or a picture: no picture format begins as UTF-8 does.
    ///
    /// # Errors
    /// As [`Self::text`] and [`Self::picture`].
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Value, String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(_) => self.picture(bytes),
        }
    }
}
