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

/// So many bytes, of which work takes what it needs before it begins. Cheap to clone; clones are the same
/// memory.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    all: u32,
    /// How long work waits for its turn.
    patience: Duration,
    /// What this is a share of.
    whole: Option<Arc<MemoryBudget>>,
}

/// Memory that is taken until this is dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    units: OwnedSemaphorePermit,
    /// The same, of what the budget is a share of.
    whole: Option<Box<MemoryPermit>>,
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl MemoryBudget {
    /// So many bytes; work that waits longer than `patience` for its turn is told. Whoever holds some may
    /// wait for more, so that waiting must end.
    pub fn new(bytes: u64, patience: Duration) -> Self {
        let all = units(bytes).max(1);
        let all = all.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { units: Arc::new(Semaphore::new(all as usize)), all, patience, whole: None }
    }

    /// Of these bytes at most so many, for one kind of work: what is taken of the share is taken of the whole
    /// too, so that no kind has all of it, and all kinds together have no more than it.
    #[must_use]
    pub fn share(&self, bytes: u64, patience: Duration) -> Self {
        let share = Self::new(bytes.min(u64::from(self.all) * UNIT), patience);
        Self { whole: Some(Arc::new(self.clone())), ..share }
    }

    /// Takes so much, in turn; what is more than all there is takes all there is.
    ///
    /// # Errors
    /// [`NoMemory`] when the turn doesn't come soon.
    pub async fn take(&self, bytes: u64) -> Result<MemoryPermit, NoMemory> {
        let taking = self.in_turn(bytes);
        // Never closed, so that no permit is a turn that doesn't come.
        tokio::time::timeout(self.patience, taking).await.ok().flatten().ok_or(NoMemory)
    }

    async fn in_turn(&self, bytes: u64) -> Option<MemoryPermit> {
        let bytes = bytes.min(u64::from(self.all) * UNIT);
        let taken = Arc::clone(&self.units).acquire_many_owned(units(bytes)).await.ok()?;
        let whole = match &self.whole {
            // It is no smaller than its share.
            Some(whole) => Some(Box::new(Box::pin(whole.in_turn(bytes)).await?)),
            None => None,
        };
        Some(MemoryPermit { units: taken, whole })
    }

    /// Takes so much if nobody has to be waited for; more than there is at all is never there.
    ///
    /// # Errors
    /// [`NoMemory`] when so much is not free.
    pub fn take_now(&self, bytes: u64) -> Result<MemoryPermit, NoMemory> {
        let taken = Arc::clone(&self.units).try_acquire_many_owned(units(bytes)).map_err(|_| NoMemory)?;
        let whole = self.whole.as_ref().map(|whole| whole.take_now(bytes).map(Box::new)).transpose()?;
        Ok(MemoryPermit { units: taken, whole })
    }

    /// Bytes that there are at all, of a share: that it or what it is a share of has.
    pub fn capacity(&self) -> u64 {
        let own = u64::from(self.all) * UNIT;
        self.whole.as_ref().map_or(own, |whole| own.min(whole.capacity()))
    }

    /// Whether nobody has taken any, of a share: of this share.
    pub fn is_whole(&self) -> bool {
        self.units.available_permits() == self.all as usize
    }

    /// Bytes that nobody has taken.
    pub fn free(&self) -> u64 {
        let free = self.units.available_permits() as u64 * UNIT;
        self.whole.as_ref().map_or(free, |whole| free.min(whole.free()))
    }
}

impl MemoryPermit {
    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: u64) {
        let kept = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let more = self.units.num_permits().saturating_sub(kept);
        // Dropped at once, and so given back.
        drop(self.units.split(more));
        if let Some(whole) = &mut self.whole {
            whole.shrink_to(bytes);
        }
    }

    /// Holds also what another permit of the same budget holds.
    pub fn merge(&mut self, other: Self) {
        self.units.merge(other.units);
        if let (Some(whole), Some(more)) = (&mut self.whole, other.whole) {
            whole.merge(*more);
        }
    }

    /// Never gives it back: for what lasts as long as the budget.
    pub fn keep(self) {
        self.units.forget();
        if let Some(whole) = self.whole {
            whole.keep();
        }
    }

    /// Bytes that are taken, as they are counted.
    pub fn bytes(&self) -> u64 {
        self.units.num_permits() as u64 * UNIT
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

    #[test]
    fn who_does_not_wait_is_refused_at_once() {
        let budget = MemoryBudget::new(10 * UNIT, Duration::from_hours(1));
        let mut first = budget.take_now(6 * UNIT).unwrap();
        assert!(matches!(budget.take_now(5 * UNIT), Err(NoMemory)));
        first.merge(budget.take_now(1).unwrap());
        assert_eq!((first.bytes(), budget.free()), (7 * UNIT, 3 * UNIT));
        drop(first);
        assert!(budget.take_now(11 * UNIT).is_err(), "never there");
        assert_eq!(budget.free(), 10 * UNIT);
        budget.share(UNIT, Duration::ZERO).take_now(UNIT).unwrap().keep();
        assert_eq!(budget.free(), 9 * UNIT);
    }

    #[tokio::test]
    async fn a_share_is_bounded_by_itself_and_by_the_whole() {
        let whole = MemoryBudget::new(10 * UNIT, Duration::from_millis(50));
        let (bodies, answers) =
            (whole.share(6 * UNIT, Duration::ZERO), whole.share(8 * UNIT, Duration::from_millis(50)));
        let mut held = bodies.take_now(4 * UNIT).unwrap();
        assert_eq!((bodies.free(), answers.free(), whole.free()), (2 * UNIT, 6 * UNIT, 6 * UNIT));
        assert!(bodies.take_now(3 * UNIT).is_err(), "its share");
        assert!(answers.take_now(7 * UNIT).is_err(), "the whole");
        assert_eq!(answers.free(), 6 * UNIT, "a refusal holds nothing");
        assert!(matches!(answers.take(u64::MAX).await, Err(NoMemory)));
        assert_eq!(answers.free(), 6 * UNIT);
        held.merge(bodies.take_now(2 * UNIT).unwrap());
        held.shrink_to(UNIT);
        assert_eq!((bodies.free(), whole.free()), (5 * UNIT, 9 * UNIT));
        let all = answers.take(u64::MAX).await.unwrap();
        assert_eq!((all.bytes(), whole.free()), (8 * UNIT, UNIT));
        drop((held, all));
        assert_eq!((bodies.free(), answers.free(), whole.free()), (6 * UNIT, 8 * UNIT, 10 * UNIT));
        assert_eq!(whole.share(u64::MAX, Duration::ZERO).free(), 10 * UNIT, "no larger than the whole");
    }
}
