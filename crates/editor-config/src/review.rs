//! Whose edits wait until somebody else has looked at them.

use std::collections::BTreeMap;

use reasonedit_codebook::CodebookName;
use serde::{Deserialize, Serialize};

/// Most people that may be asked for.
const MOST_APPROVALS: usize = 20;

/// Which edits wait as proposals until somebody else has approved of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewConfig {
    /// Whose, in any codebook.
    pub mode: ReviewMode,
    /// How many people have to approve of one.
    pub approvals: usize,
    /// Most proposals of a codebook that wait.
    pub most: usize,
    /// In these codebooks.
    pub codebooks: BTreeMap<CodebookName, ReviewRule>,
}

impl Default for ReviewConfig {
    fn default() -> Self {
        Self { mode: ReviewMode::Off, approvals: 1, most: 1000, codebooks: BTreeMap::new() }
    }
}

/// Whose edits wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewMode {
    /// Nobody's.
    #[default]
    Off,
    /// Those of callers who may make edits and nothing more.
    Contributors,
    /// Everybody's.
    All,
}

/// What holds for the edits of one codebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewRule {
    /// Whose wait.
    pub mode: ReviewMode,
    /// How many people have to approve of one.
    pub approvals: usize,
}

impl Default for ReviewRule {
    fn default() -> Self {
        Self { mode: ReviewMode::Off, approvals: 1 }
    }
}

impl ReviewConfig {
    /// What holds for the edits of a codebook.
    pub fn of(&self, codebook: &CodebookName) -> ReviewRule {
        let everywhere = ReviewRule { mode: self.mode, approvals: self.approvals };
        self.codebooks.get(codebook).copied().unwrap_or(everywhere)
    }

    /// Whether as many are asked for as there may be.
    pub(crate) fn is_sound(&self) -> bool {
        let named = self.codebooks.values().map(|rule| rule.approvals);
        named.chain([self.approvals]).all(|approvals| (1..=MOST_APPROVALS).contains(&approvals))
    }
}

impl ReviewRule {
    /// Whether an edit waits of somebody who may make edits and nothing more (`contributor`), or more.
    pub fn waits(self, contributor: bool) -> bool {
        match self.mode {
            ReviewMode::Off => false,
            ReviewMode::Contributors => contributor,
            ReviewMode::All => true,
        }
    }
}
