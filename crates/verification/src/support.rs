//! How well a picture bears a sentence out.

use crate::claims::Source;

/// How well the picture bears a sentence out, by the word of one edit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Support {
    /// It was said of this very picture.
    Own,
    /// Probability that the picture shows it.
    Shown(f64),
    /// Mean of these probabilities over the statements of the edit.
    Edit(f64),
    /// Nothing that it rests on can be judged.
    Unknown,
}

impl Support {
    /// To compare with others.
    pub(crate) fn weight(self) -> f64 {
        match self {
            Self::Own => f64::INFINITY,
            Self::Shown(p) | Self::Edit(p) => p,
            Self::Unknown => 0.0,
        }
    }

    pub(crate) fn probability(self) -> Option<f64> {
        match self {
            Self::Shown(p) | Self::Edit(p) => Some(p),
            Self::Own | Self::Unknown => None,
        }
    }
}

/// An edit that says a sentence, and how well the picture bears it out by that.
pub(crate) type Word<'a> = (Source<'a>, Support);
