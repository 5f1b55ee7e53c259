//! Which lines are asked for.

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::error::{AuditError, Result};
use crate::layout;
use crate::record::AuditLine;

/// Which lines are asked for; all that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<OffsetDateTime>,
    /// Not from then on.
    pub to: Option<OffsetDateTime>,
    /// The caller's name or the id of their token, or `anonymous` or `configured`.
    pub caller: Option<String>,
    /// An edit that was touched.
    pub edit: Option<String>,
    /// A picture that was touched.
    pub image: Option<String>,
    /// The codebook.
    pub codebook: Option<String>,
}

impl AuditFilter {
    /// Whether a file of this day may have such lines. One of a day that is yet to come was begun when the
    /// clock was wrong, and has those of every day since.
    pub(crate) fn holds_day(&self, day: Date) -> bool {
        let utc = |time: OffsetDateTime| time.to_offset(UtcOffset::UTC).date();
        let to_come = day > OffsetDateTime::now_utc().date();
        self.from.is_none_or(|from| day >= utc(from)) && self.to.is_none_or(|to| day <= utc(to) || to_come)
    }

    /// Whether a line as it is written may be such a one: cheaper than to read it.
    pub(crate) fn may_hold(&self, text: &str) -> bool {
        [&self.edit, &self.image].into_iter().flatten().all(|id| text.contains(&**id))
    }

    /// Whether this is such a line.
    pub(crate) fn holds(&self, line: &AuditLine) -> bool {
        let record = &line.record;
        let is_caller = |wanted: &String| {
            let Some(caller) = &record.caller else { return false };
            let told = [caller.id(), caller.name()];
            told.contains(&Some(wanted)) || caller.name().is_none() && caller.kind() == wanted
        };
        self.from.is_none_or(|from| line.at >= from)
            && self.to.is_none_or(|to| line.at < to)
            && self.caller.as_ref().is_none_or(is_caller)
            && self.edit.as_ref().is_none_or(|id| record.edits.contains(id))
            && self.image.as_ref().is_none_or(|id| record.images.contains(id))
            && self.codebook.as_ref().is_none_or(|name| record.codebook.as_ref() == Some(name))
    }
}

/// A time from its text (RFC 3339), or a day, UTC: its beginning, or where it is an `end` that of the next.
///
/// # Errors
/// [`AuditError::Moment`].
pub fn moment(text: &str, end: bool) -> Result<OffsetDateTime> {
    let whole = layout::day(text).and_then(|day| if end { day.next_day() } else { Some(day) });
    let whole = whole.map(|day| day.midnight().assume_utc());
    whole
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| AuditError::Moment(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn moments_are_times_or_days() {
        assert_eq!(moment("2026-11-30", false).unwrap(), datetime!(2026-11-30 00:00 UTC));
        assert_eq!(moment("2026-11-30", true).unwrap(), datetime!(2026-12-01 00:00 UTC));
        assert_eq!(moment("2026-11-30T09:00:00+01:00", true).unwrap(), datetime!(2026-11-30 08:00 UTC));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-30 09:00", "26-11-30", "9999-12-31x"] {
            assert!(moment(bad, false).is_err(), "{bad}");
        }
    }
}
