//! A moment in a codebook's history.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{CodebookError, Result};

/// A state that a codebook was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// After so many events of its history.
    Revision(u64),
    /// After the last event before the first one that was committed later than this. Events of versions that
    /// kept no times count as of the event before.
    Time(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
}

impl FromStr for Moment {
    type Err = CodebookError;

    /// A whole number, or an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(revision) = text.parse() {
            return Ok(Self::Revision(revision));
        }
        let time = OffsetDateTime::parse(text, &Rfc3339);
        time.map(Self::Time).map_err(|_| CodebookError::InvalidId {
            what: "revision or RFC 3339 time, as 412 or 2026-11-20T08:00:00Z",
            given: text.chars().take(40).collect(),
        })
    }
}
