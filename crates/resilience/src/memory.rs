//! Memory that work takes in turn, so that all of it together stays within a bound.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in units of this many bytes, so that the count fits a semaphore.
const UNIT: u64 = 4096;

/// The turn did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory for it at the moment")]
pub struct NoMemory;

/// So many bytes, of which work takes what it needs before it begins.
#[derive(Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    all: u32,
    /// How long work waits for its turn.
    patience: Duration,
}

/// Memory that is taken until this is dropped.
#[derive(Debug)]
pub struct MemoryPermit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// So many bytes; work that waits longer than `patience` for its turn is told. Whoever holds some may
    /// wait for more, so that waiting must end.
    pub fn new(bytes: u64, patience: Duration) -> Self {
        let all = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let all = all.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { units: Arc::new(Semaphore::new(all as usize)), all, patience }
    }

    /// Takes so much, in turn; what is more than all there is takes all there is.
    ///
    /// # Errors
    /// [`NoMemory`] when the turn doesn't come soon.
    pub async fn take(&self, bytes: u64) -> Result<MemoryPermit, NoMemory> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.all);
        let taking = Arc::clone(&self.units).acquire_many_owned(units);
        match tokio::time::timeout(self.patience, taking).await {
            Ok(Ok(permit)) => Ok(MemoryPermit(permit)),
            // Never closed, so this is a turn that doesn't come.
            Ok(Err(_)) | Err(_) => Err(NoMemory),
        }
    }

    /// Bytes that nobody has taken.
    pub fn free(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }
}

impl MemoryPermit {
    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: u64) {
        let kept = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let more = self.0.num_permits().saturating_sub(kept);
        // Dropped at once, and so given back.
        drop(self.0.split(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_waits_and_is_refused_in_the_end() {
        let budget = MemoryBudget::new(10 * UNIT, Duration::from_millis(50));
        let mut first = budget.take(8 * UNIT).await.unwrap();
        assert_eq!(budget.free(), 2 * UNIT);
        assert!(matches!(budget.take(3 * UNIT).await, Err(NoMemory)));
        let (taken, ()) = tokio::join!(budget.take(3 * UNIT), async { first.shrink_to(5 * UNIT) });
        drop(taken.unwrap());
        first.shrink_to(6 * UNIT);
        assert_eq!(budget.free(), 5 * UNIT, "it never grows");
        drop(first);
        let all = budget.take(u64::MAX).await.unwrap();
        assert_eq!(budget.free(), 0);
        drop(all);
        assert_eq!(budget.free(), 10 * UNIT);
        assert!(budget.take(0).await.is_ok());
    }
}
