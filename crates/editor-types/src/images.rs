//! Pictures as they come in.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use reasonedit_codebook::ImageId;

/// Bytes of a picture file. They are hashed once, when their id is first asked for; copies share both.
#[derive(Clone, Debug)]
pub struct UploadedImage {
    bytes: Bytes,
    id: Arc<OnceLock<ImageId>>,
}

impl UploadedImage {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the picture is known by.
    pub fn id(&self) -> ImageId {
        *self.id.get_or_init(|| ImageId::of(&self.bytes))
    }
}

impl Deref for UploadedImage {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for UploadedImage {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, id: Arc::default() }
    }
}

impl From<Bytes> for ImageSource {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Where a picture comes from.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// An uploaded picture file.
    Bytes(UploadedImage),
    /// A picture uploaded before.
    Known(ImageId),
}

impl ImageSource {
    /// What the picture is known by.
    pub fn id(&self) -> ImageId {
        match self {
            Self::Bytes(uploaded) => uploaded.id(),
            Self::Known(id) => *id,
        }
    }
}
