//! Pictures at hand: uploaded bytes to upright pixels, by id, with a small cache of decoded ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reasonedit_codebook::{ImageId, ImageInfo, ImageStore};
use reasonedit_imaging::{DecodeLimits, PixelBox, RgbImage, decode};
use reasonedit_vlm::engine::{FeatureKey, ImageInput};

use crate::error::EditorError;
use crate::types::ImageSource;

/// A decoded picture and its identity.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) id: ImageId,
    pub(crate) pixels: Arc<RgbImage>,
    /// The uploaded bytes, when they came with this request and may have to be stored.
    pub(crate) upload: Option<Bytes>,
}

impl Picture {
    pub(crate) fn info(&self) -> ImageInfo {
        ImageInfo { id: self.id, width: self.pixels.width(), height: self.pixels.height() }
    }

    /// The whole picture (`None`) or a part of it as the engine takes it.
    pub(crate) fn input(&self, area: Option<PixelBox>) -> ImageInput {
        ImageInput { key: FeatureKey { image: self.id.0, area }, picture: Arc::clone(&self.pixels) }
    }
}

/// Decodes, stores and keeps pictures.
pub(crate) struct Pictures {
    store: Arc<ImageStore>,
    limits: DecodeLimits,
    budget: usize,
    recent: Mutex<VecDeque<(ImageId, Arc<RgbImage>)>>,
}

impl Pictures {
    pub(crate) fn new(store: Arc<ImageStore>, limits: DecodeLimits, budget: usize) -> Self {
        Self { store, limits, budget, recent: Mutex::new(VecDeque::new()) }
    }

    /// Resolves a picture of a request. Decoding runs on the blocking pool.
    pub(crate) async fn resolve(self: &Arc<Self>, source: &ImageSource) -> Result<Picture, EditorError> {
        let this = Arc::clone(self);
        let source = source.clone();
        blocking(move || match source {
            ImageSource::Bytes(bytes) => {
                // The limit comes before the digest: what is too large costs nothing.
                if bytes.len() as u64 > this.limits.max_bytes {
                    decode(&bytes, &this.limits)?;
                }
                let id = ImageId::of(&bytes);
                let pixels = match this.recent(id) {
                    Some(pixels) => pixels,
                    None => this.remember(id, Arc::new(decode(&bytes, &this.limits)?.image)),
                };
                Ok(Picture { id, pixels, upload: Some(bytes) })
            }
            ImageSource::Known(id) => {
                // Only stored pictures are known: one that was merely asked about leaves no trace.
                let bytes = this.store.get(id)?;
                let pixels = match this.recent(id) {
                    Some(pixels) => pixels,
                    None => this.remember(id, Arc::new(decode(&bytes, &this.limits)?.image)),
                };
                Ok(Picture { id, pixels, upload: None })
            }
        })
        .await
    }

    /// Makes an uploaded picture durable.
    pub(crate) fn keep(&self, picture: &Picture) -> Result<(), EditorError> {
        if let Some(bytes) = &picture.upload {
            self.store.put(bytes)?;
        }
        Ok(())
    }

    /// What is stored of a picture of these bytes.
    pub(crate) fn info(&self, bytes: &[u8]) -> Result<ImageInfo, EditorError> {
        let (width, height) = decode(bytes, &self.limits)?.image.dimensions();
        Ok(ImageInfo { id: ImageId::of(bytes), width, height })
    }

    pub(crate) fn store(&self) -> &Arc<ImageStore> {
        &self.store
    }

    pub(crate) fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    fn recent(&self, id: ImageId) -> Option<Arc<RgbImage>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|(known, _)| *known == id).map(|(_, pixels)| Arc::clone(pixels))
    }

    fn remember(&self, id: ImageId, pixels: Arc<RgbImage>) -> Arc<RgbImage> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back((id, Arc::clone(&pixels)));
        let mut held: usize = recent.iter().map(|(_, p)| p.as_raw().len()).sum();
        while held > self.budget {
            let Some((_, dropped)) = recent.pop_front() else { break };
            held -= dropped.as_raw().len();
        }
        pixels
    }
}

/// Runs blocking work off the async threads; a panic there is an internal error here, not a crash.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, EditorError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, EditorError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failure| {
        tracing::error!(%failure, "blocking work failed");
        if failure.is_panic() {
            return Err(EditorError::Internal("a piece of work panicked"));
        }
        Err(EditorError::Cancelled)
    })
}
