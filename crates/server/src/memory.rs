//! The memory that requests may take, and how it is shared between what they take it for.

use std::time::Duration;

use reasonedit_resilience::MemoryBudget;

/// Bytes that hyper keeps of what an HTTP/1.1 client has sent and nobody has read.
pub(crate) const HEAD_BYTES: usize = 64 << 10;
/// The same of HTTP/2, for a connection with all its streams.
pub(crate) const WINDOW_BYTES: u32 = 256 << 10;
/// Memory that is set aside for each connection that may be open: whoever connects may fill that much before
/// anything is known of them, and probes have to be let in however full the rest is.
pub(crate) const CONNECTION_BYTES: u64 = HEAD_BYTES as u64 + WINDOW_BYTES as u64;

/// Shares of `server.limits.memory_bytes`.
#[derive(Clone, Debug)]
pub(crate) struct ServiceMemory {
    /// All but what is set aside for connections; pictures that are decoded take of it.
    pub(crate) whole: MemoryBudget,
    /// For bodies and fetched pictures.
    pub(crate) bodies: MemoryBudget,
    /// For answers on their way.
    pub(crate) answers: MemoryBudget,
}

impl ServiceMemory {
    /// So many bytes for requests, and of these so many for each kind.
    pub(crate) fn new(requests: u64, bodies: usize, answers: usize) -> Self {
        let whole = MemoryBudget::new(requests, Duration::ZERO);
        let share = |bytes: usize| whole.share(bytes as u64, Duration::ZERO);
        let (bodies, answers) = (share(bodies), share(answers));
        Self { whole, bodies, answers }
    }
}
