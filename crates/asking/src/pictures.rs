//! Pictures at hand: uploaded bytes to upright pixels, by id, with a small cache of decoded ones.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reasonedit_codebook::{ImageId, ImageInfo, ImageStore};
use reasonedit_imaging::{
    DecodeLimits, DecodeNote, PixelBox, PixelRules, RgbImage, decode_cost, decode_under,
};
use reasonedit_inference::{FeatureKey, Flow, KeyedImage};
use reasonedit_resilience::{MemoryBudget, MemoryPermit};
use reasonedit_text::Warning;
use tokio::sync::Semaphore;

use crate::error::EditorError;
use crate::types::{ImageSource, UploadedImage};

/// How long a picture waits for memory to be decoded in.
const PATIENCE: Duration = Duration::from_secs(10);

/// A decoded picture and its identity.
#[derive(Clone, Debug)]
pub struct DecodedPicture {
    /// The digest of its bytes.
    pub id: ImageId,
    /// Upright.
    pub pixels: Arc<RgbImage>,
    /// How its samples were read.
    pub rules: PixelRules,
    /// What that did to them.
    notes: Arc<[DecodeNote]>,
    /// The uploaded bytes, when they came with this request and may have to be stored.
    pub upload: Option<UploadedImage>,
    /// The memory of its pixels, where they are not those of the cache, which has its own.
    #[expect(dead_code, reason = "given back when the last copy is dropped")]
    held: Option<Arc<MemoryPermit>>,
    /// Whose share of the memory and of the turns it counts for.
    flow: Flow,
}

impl DecodedPicture {
    /// One that nothing was done to.
    #[cfg(test)]
    pub fn plain(id: ImageId, pixels: Arc<RgbImage>) -> Self {
        Self {
            id,
            pixels,
            rules: PixelRules::CURRENT,
            notes: Arc::default(),
            upload: None,
            held: None,
            flow: Flow(0),
        }
    }

    /// Id and size.
    pub fn info(&self) -> ImageInfo {
        ImageInfo { id: self.id, width: self.pixels.width(), height: self.pixels.height() }
    }

    /// The whole picture (`None`) or a part of it as the engine takes it.
    pub fn input(&self, area: Option<PixelBox>) -> KeyedImage {
        KeyedImage { key: FeatureKey { image: self.key(), area }, picture: Arc::clone(&self.pixels) }
    }

    /// What its pixels are known by: the same bytes read by other rules can be another picture, and what was
    /// computed of one must not stand for the other.
    pub fn key(&self) -> [u8; 32] {
        match self.rules {
            PixelRules::CURRENT => self.id.0,
            other => {
                let mut identity = blake3::Hasher::new();
                identity.update(format!("pixels by {other:?}").as_bytes()).update(&self.id.0);
                *identity.finalize().as_bytes()
            }
        }
    }

    /// What was done to its samples, as warnings about the place `pointer` of the request.
    pub fn warnings(&self, pointer: &str) -> impl Iterator<Item = Warning> {
        self.notes.iter().map(move |note| Warning::new(note.code, pointer, note.detail.clone()))
    }
}

/// A picture as it was decoded.
#[derive(Clone)]
struct Pixels {
    image: Arc<RgbImage>,
    notes: Arc<[DecodeNote]>,
}

/// A picture of a request before it is decoded.
struct Found {
    id: ImageId,
    bytes: Bytes,
    upload: Option<UploadedImage>,
    /// Its pixels, if they are at hand.
    cached: Option<Pixels>,
    /// Bytes that decoding takes.
    cost: u64,
}

/// What a caller has of what there is to decode in.
#[derive(Clone)]
struct FlowShare {
    memory: MemoryBudget,
    turns: Arc<Semaphore>,
}

/// Decodes, stores and keeps pictures.
pub struct PictureDecoder {
    store: Arc<ImageStore>,
    limits: DecodeLimits,
    /// Bytes of the cache.
    budget: usize,
    decoding: MemoryBudget,
    /// The same as a share of what all of the service has.
    shared: OnceLock<MemoryBudget>,
    /// Bytes of those that are being decoded or held by requests.
    decoding_bytes: u64,
    /// Pictures that are decoded at a time: as many as there are cores, so that others get a turn.
    turns: Arc<Semaphore>,
    /// What one caller may have of these at a time, so that others find some.
    flows: Mutex<HashMap<Flow, FlowShare>>,
    recent: Mutex<VecDeque<((ImageId, PixelRules), Pixels)>>,
}

impl PictureDecoder {
    /// `budget`: bytes of decoded pictures that are kept; `decoding`: bytes of those that are being decoded
    /// or held by requests.
    pub fn new(store: Arc<ImageStore>, limits: DecodeLimits, budget: usize, decoding: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            store,
            limits,
            budget,
            decoding: MemoryBudget::new(decoding, PATIENCE),
            shared: OnceLock::new(),
            decoding_bytes: decoding,
            turns: Arc::new(Semaphore::new(cores)),
            flows: Mutex::default(),
            recent: Mutex::new(VecDeque::new()),
        }
    }

    /// Takes all memory of this too, that of the cache for good. The first call decides.
    pub fn stay_within(&self, memory: &MemoryBudget) {
        if self.shared.set(memory.share(self.decoding_bytes, PATIENCE)).is_ok()
            && let Ok(cache) = memory.take_now(self.budget as u64)
        {
            cache.keep();
        }
    }

    /// What a caller may have: three quarters of the memory, and half of the turns.
    fn share(&self, flow: Flow) -> FlowShare {
        let mut flows = self.flows.lock();
        // Of who waits for nothing and holds nothing nothing has to be known.
        flows.retain(|known, share| *known == flow || !share.memory.is_whole());
        let share = flows.entry(flow).or_insert_with(|| {
            let turns = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
            let whole = self.shared.get().unwrap_or(&self.decoding);
            let memory = whole.share(self.decoding_bytes / 4 * 3, PATIENCE);
            FlowShare { memory, turns: Arc::new(Semaphore::new(turns)) }
        });
        share.clone()
    }

    /// As [`Self::resolve_for`], of nobody in particular.
    ///
    /// # Errors
    /// An unknown or unusable picture; `Busy` where there is no memory for it.
    pub async fn resolve(
        self: &Arc<Self>,
        source: &ImageSource,
        rules: PixelRules,
    ) -> Result<DecodedPicture, EditorError> {
        self.resolve_for(Flow::default(), source, rules).await
    }

    /// Resolves a picture of a request of this caller's, its samples read by these rules. Decoding runs on
    /// the blocking pool, once there is memory for it.
    ///
    /// # Errors
    /// An unknown or unusable picture; `Busy` where there is no memory for it.
    pub async fn resolve_for(
        self: &Arc<Self>,
        flow: Flow,
        source: &ImageSource,
        rules: PixelRules,
    ) -> Result<DecodedPicture, EditorError> {
        let (this, source) = (Arc::clone(self), source.clone());
        let found = blocking(move || this.find(source, rules)).await?;
        if let Some(Pixels { image, notes }) = found.cached {
            return Ok(DecodedPicture {
                id: found.id,
                pixels: image,
                rules,
                notes,
                upload: found.upload,
                held: None,
                flow,
            });
        }
        let share = self.share(flow);
        let mut permit = share.memory.take(found.cost).await.map_err(|_| EditorError::Busy)?;
        // Never closed, so a turn always comes: first among those of the caller, then among all.
        let own = share.turns.acquire_owned().await.ok();
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let this = Arc::clone(self);
        blocking(move || {
            let _turns = (own, turn);
            let Pixels { image, notes } = this.pixels(found.id, &found.bytes, rules)?;
            permit.shrink_to(image.as_raw().len() as u64);
            let held = Some(Arc::new(permit));
            Ok(DecodedPicture { id: found.id, pixels: image, rules, notes, upload: found.upload, held, flow })
        })
        .await
    }

    /// The bytes of a picture, and what decoding them takes.
    fn find(&self, source: ImageSource, rules: PixelRules) -> Result<Found, EditorError> {
        let (id, bytes, upload) = match source {
            ImageSource::Bytes(upload) => {
                // The limit comes before the digest: what is too large costs nothing.
                let bytes = upload.bytes().clone();
                if bytes.len() as u64 > self.limits.max_bytes {
                    decode_under(&bytes, &self.limits, rules)?;
                }
                (upload.id(), bytes, Some(upload))
            }
            // Only stored pictures are known: one that was merely asked about leaves no trace.
            ImageSource::Known(id) => (id, Bytes::from(self.store.get(id)?), None),
        };
        let cached = self.recent(id, rules);
        let cost = if cached.is_some() { 0 } else { decode_cost(&bytes, &self.limits) };
        Ok(Found { id, bytes, upload, cached, cost })
    }

    /// The same picture, its samples read by these rules.
    ///
    /// # Errors
    /// An unknown or unusable picture; `Busy` where there is no memory for it.
    pub async fn under(
        self: &Arc<Self>,
        picture: &DecodedPicture,
        rules: PixelRules,
    ) -> Result<DecodedPicture, EditorError> {
        if picture.rules == rules {
            return Ok(picture.clone());
        }
        let source = match &picture.upload {
            Some(upload) => ImageSource::Bytes(upload.clone()),
            None => ImageSource::Known(picture.id),
        };
        self.resolve_for(picture.flow, &source, rules).await
    }

    fn pixels(&self, id: ImageId, bytes: &[u8], rules: PixelRules) -> Result<Pixels, EditorError> {
        if let Some(pixels) = self.recent(id, rules) {
            return Ok(pixels);
        }
        let decoded = decode_under(bytes, &self.limits, rules)?;
        let pixels = Pixels { image: Arc::new(decoded.image), notes: decoded.notes.into() };
        self.remember(id, rules, &pixels);
        Ok(pixels)
    }

    /// Makes an uploaded picture durable.
    ///
    /// # Errors
    /// Failing storage.
    pub fn keep(&self, picture: &DecodedPicture) -> Result<(), EditorError> {
        if let Some(upload) = &picture.upload {
            self.store.put_under(upload.id(), upload.bytes())?;
        }
        Ok(())
    }

    /// Forgets the pixels of a picture.
    pub fn forget(&self, id: ImageId) {
        self.recent.lock().retain(|((known, _), _)| *known != id);
    }

    /// Where uploaded bytes lie.
    pub fn store(&self) -> &Arc<ImageStore> {
        &self.store
    }

    /// What a picture may be at most.
    pub fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    fn recent(&self, id: ImageId, rules: PixelRules) -> Option<Pixels> {
        let recent = self.recent.lock();
        recent.iter().find(|(known, _)| *known == (id, rules)).map(|(_, pixels)| pixels.clone())
    }

    fn remember(&self, id: ImageId, rules: PixelRules, pixels: &Pixels) {
        let mut recent = self.recent.lock();
        recent.push_back(((id, rules), pixels.clone()));
        let mut held: usize = recent.iter().map(|(_, p)| p.image.as_raw().len()).sum();
        while held > self.budget {
            let Some((_, dropped)) = recent.pop_front() else { break };
            held -= dropped.image.as_raw().len();
        }
    }
}

/// Runs blocking work off the async threads; a panic there is an internal error here, not a crash.
///
/// # Errors
/// That of the work; a panic, work that was cancelled.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EditorError> + Send + 'static,
) -> Result<T, EditorError> {
    reasonedit_resilience::blocking(work).await
}

impl reasonedit_archive::Pictures for PictureDecoder {
    fn store(&self) -> &ImageStore {
        &self.store
    }

    fn max_bytes(&self) -> u64 {
        self.limits.max_bytes
    }

    /// By any rules that some codebook can have keys by: its size is the same by all.
    fn info(&self, bytes: &[u8]) -> Option<ImageInfo> {
        let decoded = decode_under(bytes, &self.limits, PixelRules::CURRENT)
            .or_else(|_| decode_under(bytes, &self.limits, PixelRules::First));
        let (width, height) = decoded.ok()?.image.dimensions();
        Some(ImageInfo { id: ImageId::of(bytes), width, height })
    }
}

#[cfg(test)]
mod tests;
