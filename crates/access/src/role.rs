//! What someone may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What someone may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRole {
    /// Asks, and looks at edits, pictures, codebooks and jobs.
    Reader,
    /// Makes edits, and takes back those of their own.
    Contributor,
    /// Takes back anybody's edits, imports, chooses layers, stops jobs.
    Editor,
    /// Gives and revokes tokens, and looks after the service itself.
    Admin,
}

impl AccessRole {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Contributor, Self::Editor, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Contributor => "contributor",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AccessRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or("a role is reader, contributor, editor or admin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_do_what_those_before_may_and_is_read_as_it_is_written() {
        assert!(AccessRole::ALL.is_sorted());
        for role in AccessRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for bad in ["", "Reader", "root", "admin "] {
            assert!(bad.parse::<AccessRole>().is_err(), "{bad:?}");
        }
    }
}
