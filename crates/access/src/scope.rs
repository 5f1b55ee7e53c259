//! The codebooks that a role holds for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The codebooks that a role holds for, those that are yet to be made included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<BTreeSet<String>>", into = "Option<BTreeSet<String>>")]
pub enum CodebookScope {
    /// All of them.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<String>),
}

impl CodebookScope {
    /// Whether it holds for the codebook of this name.
    pub fn holds(&self, codebook: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(codebook),
        }
    }
}

impl From<Option<BTreeSet<String>>> for CodebookScope {
    fn from(names: Option<BTreeSet<String>>) -> Self {
        names.map_or(Self::All, Self::Only)
    }
}

impl From<CodebookScope> for Option<BTreeSet<String>> {
    fn from(scope: CodebookScope) -> Self {
        match scope {
            CodebookScope::All => None,
            CodebookScope::Only(names) => Some(names),
        }
    }
}

impl fmt::Display for CodebookScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all codebooks"),
            Self::Only(names) => {
                f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_for_all_or_for_those_it_names() {
        let only: CodebookScope = Some(BTreeSet::from(["ward-3".to_owned()])).into();
        assert!(CodebookScope::All.holds("ward-3") && CodebookScope::All.holds("default"));
        assert!(only.holds("ward-3"));
        for other in ["default", "ward", "ward-33", ""] {
            assert!(!only.holds(other), "{other:?}");
        }
        assert!(!CodebookScope::Only(BTreeSet::new()).holds("default"), "none is not all");
        for (scope, json) in [
            (CodebookScope::All, "null"),
            (only, "[\"ward-3\"]"),
            (CodebookScope::Only(BTreeSet::new()), "[]"),
        ] {
            assert_eq!(serde_json::to_string(&scope).unwrap(), json);
            assert_eq!(serde_json::from_str::<CodebookScope>(json).unwrap(), scope);
        }
    }
}
