//! What is known of edits and pictures without the model being asked again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_codebook::ImageId;
use reasonedit_contradiction::Axis;
use reasonedit_inference::TapName;

/// Things of a kind that are remembered at most.
const REMEMBERED: usize = 1 << 16;

/// What tells edits apart and doesn't change: of texts and of stored pictures.
#[derive(Default)]
pub(crate) struct Remembered {
    /// Embeddings of questions, of length one, by their text.
    pub(super) questions: Mutex<HashMap<String, Arc<[f32]>>>,
    /// What the model says of a statement on an edit's picture.
    pub(super) opinions: Mutex<HashMap<(ImageId, String), Option<f64>>>,
    /// Embeddings of pictures or of their halves at a tap.
    pub(super) views: Mutex<HashMap<ViewName, Views>>,
}

/// A picture at a tap, or its halves along an axis.
pub(super) type ViewName = (ImageId, TapName, Option<Axis>);

/// The parts of a picture that are compared.
pub(super) type Views = Arc<Vec<Vec<f32>>>;

/// Keeps what was found; all of it is forgotten when there is too much.
pub(super) fn remember<K: Hash + Eq, V>(
    known: &Mutex<HashMap<K, V>>,
    found: impl IntoIterator<Item = (K, V)>,
) {
    let mut known = known.lock();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.extend(found);
}
