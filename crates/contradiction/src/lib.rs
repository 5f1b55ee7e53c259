//! The detail in which two statements can't both be true of one picture.
//!
//! Sentences that differ in a side, a negation or a number have nearly the same embedding, and small models
//! judge them alike. What keeps them apart is read off their words instead.

mod reading;
mod words;

use serde::{Deserialize, Serialize};

pub use reading::Reading;
pub use words::Axis;

/// What two statements about the same differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// One says left, or above, where the other says right, or below.
    Side,
    /// One denies what the other affirms.
    Negation,
    /// They name other counts or measures.
    Number,
    /// They use words that exclude each other.
    Opposite,
}

/// A detail in which two statements differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// What kind of detail.
    pub detail: Detail,
    /// Of a side: along which axis.
    pub axis: Option<Axis>,
}

/// The detail that keeps two statements from being true of one picture; `None` where the rules know of none,
/// or where they are about different things.
pub fn detail_between(one: &str, other: &str) -> Option<Disagreement> {
    Reading::of(one).differs_from(&Reading::of(other))
}

#[cfg(test)]
mod tests;
