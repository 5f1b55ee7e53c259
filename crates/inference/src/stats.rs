//! Counters for metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

/// What an engine has done so far, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EngineStats {
    /// Requests waiting or being prepared.
    pub queue_depth: usize,
    /// Requests that may wait at once.
    pub queue_capacity: usize,
    /// Generations running.
    pub generations: usize,
    /// Bytes in the feature and prefix cache.
    pub cache_bytes: usize,
    /// Entries in it.
    pub cache_entries: usize,
    /// Pictures of requests of which everything needed was cached.
    pub cache_hits: u64,
    /// Pictures of requests of which something had to be computed.
    pub cache_misses: u64,
    /// Batches run, generation steps included.
    pub batches: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that ended in an error of the model or the engine.
    pub failed: u64,
    /// Requests dropped before any work because the caller had gone or the deadline had passed.
    pub skipped: u64,
    /// Requests turned away because the queue was full.
    pub refused: u64,
    /// Panics of the model that were contained.
    pub panics: u64,
    /// Pictures run through the vision side.
    pub images: u64,
    /// Tokens run through the language side.
    pub tokens: u64,
    /// Seconds in which the engine's thread computed.
    pub busy_seconds: f64,
}

/// Shared counters behind [`EngineStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) generations: AtomicUsize,
    pub(super) cache_hits: AtomicU64,
    pub(super) cache_misses: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) images: AtomicU64,
    pub(super) tokens: AtomicU64,
    busy_nanos: AtomicU64,
    /// Smoothed microseconds of device time per request.
    request_micros: AtomicU64,
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Counters {
    /// Notes a batch of `requests` requests. Only the engine's thread calls it.
    pub(super) fn batch(&self, elapsed: Duration, requests: usize) {
        count(&self.batches, 1);
        self.busy_nanos.fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
        let now = elapsed.as_micros() as u64 / requests.max(1) as u64;
        let old = self.request_micros.load(Ordering::Relaxed);
        // The last ten or so batches count: what is asked changes with the time of day.
        let smoothed = if old == 0 { now } else { (9 * old + now) / 10 };
        self.request_micros.store(smoothed, Ordering::Relaxed);
    }

    /// When a place in a queue of `depth` requests is likely to be free.
    pub(super) fn retry_after(&self, depth: usize) -> Duration {
        let micros = self.request_micros.load(Ordering::Relaxed).saturating_mul(depth as u64);
        // Half the queue, so that a place is free and work is left for the one who comes back.
        Duration::from_micros(micros / 2).clamp(Duration::from_millis(100), Duration::from_mins(1))
    }

    /// Snapshot of the counters alone.
    pub(super) fn snapshot(&self) -> EngineStats {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        EngineStats {
            generations: self.generations.load(Ordering::Relaxed),
            cache_hits: get(&self.cache_hits),
            cache_misses: get(&self.cache_misses),
            batches: get(&self.batches),
            answered: get(&self.answered),
            failed: get(&self.failed),
            skipped: get(&self.skipped),
            refused: get(&self.refused),
            panics: get(&self.panics),
            images: get(&self.images),
            tokens: get(&self.tokens),
            busy_seconds: get(&self.busy_nanos) as f64 / 1e9,
            ..EngineStats::default()
        }
    }
}
