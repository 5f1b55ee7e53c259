//! What an execution may cost.

use std::time::Duration;

use cpu_time::ProcessTime;
use peak_alloc::PeakAlloc;

/// Counts what is allocated, so that a target can be held to its bound.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes of a mebibyte.
pub(crate) const MIB: usize = 1 << 20;
/// Longest execution, in time of the processor: other work on the same machine doesn't count.
const LONGEST: Duration = Duration::from_secs(1);

/// A place where bytes enter, and what they may cost there.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its program and of its corpus too.
    pub name: &'static str,
    /// Makes what executions share, once, so that none is charged with it.
    pub(crate) ready: fn(),
    /// Takes any bytes; panics where something doesn't hold.
    pub(crate) run: fn(&[u8]),
    /// Most bytes of memory that it may take at a time, above what was there before.
    pub memory: usize,
}

impl Target {
    /// Runs it on these bytes, and holds it to its bounds.
    ///
    /// # Panics
    /// Something that has to hold of any input doesn't, or it took too long or too much.
    pub fn check(&self, data: &[u8]) {
        (self.ready)();
        let begun = ProcessTime::now();
        let taken = peak(|| (self.run)(data));
        let took = begun.elapsed();
        assert!(taken <= self.memory, "{}: {taken} bytes of memory for {}", self.name, data.len());
        assert!(took <= LONGEST, "{}: {took:?} of the processor for {} bytes", self.name, data.len());
    }
}

/// Most bytes that were allocated at a time during this, above what was before. For one thread at a time.
pub fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    drop(work());
    ALLOCATED.peak_usage().saturating_sub(before)
}
