//! Settings of the feedback page.

use serde::{Deserialize, Serialize};

/// Settings of the feedback page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageConfig {
    /// What it speaks, unless the person who looks at it has chosen.
    pub language: PageLanguage,
}

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageLanguage {
    /// The first of the browser's languages that the page speaks, else English.
    #[default]
    Auto,
    /// German.
    De,
    /// English.
    En,
    /// French.
    Fr,
}

impl PageLanguage {
    /// As the page's attribute says it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::De => "de",
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}
