//! What handles and the engine's thread share.

use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use reasonedit_nn::taps::TapName;
use tokio::sync::watch;

use crate::cache::FeatureCache;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::loaded::Loaded;
use crate::queue::Queue;
use crate::stats::Counters;

/// How far an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Loading,
    Ready,
    Failed,
    Closed,
}

/// What handles and the engine's thread share.
pub(super) struct Shared {
    pub(super) config: EngineConfig,
    pub(super) queue: Arc<Queue>,
    pub(super) cache: Mutex<FeatureCache>,
    pub(super) always_taps: RwLock<Vec<TapName>>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: watch::Sender<Readiness>,
    pub(super) loaded: OnceLock<Loaded>,
    pub(super) load_error: Mutex<Option<EngineError>>,
}
