//! What a person is told of an input that was not taken as it came.

use serde::{Deserialize, Serialize};

/// Something of the input that was not taken as it came: told in the answer, and kept with an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What happened, for programs: lower case with underscores, such as `depth_scaled`.
    pub code: String,
    /// JSON pointer (RFC 6901) of the place in the request, such as `/image`.
    pub pointer: String,
    /// The same for people.
    pub detail: String,
}

impl Warning {
    /// A warning about the place `pointer` of the request.
    pub fn new(code: &str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), pointer: pointer.into(), detail: detail.into() }
    }
}
