//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also when a holder panicked: everything behind these locks is consistent between any two
/// statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
