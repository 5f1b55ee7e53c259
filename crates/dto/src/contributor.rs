//! In whose name edits are made, now or by a job later.

use reasonedit_access::{AccessRole, Caller, CodebookScope};
use reasonedit_api::author;
use reasonedit_editor::{ImportOptions, Submitter};
use reasonedit_http::problem::Result;
use serde::{Deserialize, Serialize};

/// In whose name edits are made, and which codebooks' pictures they may name. A job keeps it beside its
/// input: the token may be revoked by then, and what was accepted is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contributor {
    name: Option<String>,
    role: AccessRole,
    /// The codebooks whose pictures they may name.
    pub scope: CodebookScope,
}

impl Default for Contributor {
    /// Of jobs that were submitted before there were roles.
    fn default() -> Self {
        Self::from(&Caller::unnamed_admin())
    }
}

impl From<&Caller> for Contributor {
    fn from(caller: &Caller) -> Self {
        Self { name: caller.name().map(str::to_owned), role: caller.role(), scope: caller.scope().clone() }
    }
}

impl Contributor {
    /// In whose name edits are submitted.
    pub fn submitter(&self) -> Submitter {
        Submitter { name: self.name.clone(), contributor: self.role < AccessRole::Editor }
    }

    /// Whether this is nobody by name, who may do everything: then a job's input says nothing of it.
    pub fn is_unnamed_admin(&self) -> bool {
        *self == Self::default()
    }

    /// An import of theirs: of an archive of at most so many bytes, and with pictures of other codebooks only
    /// if they see all.
    pub fn import_options(&self, bytes: u64) -> ImportOptions {
        let pictures_of_others = self.scope == CodebookScope::All;
        ImportOptions { pictures_of_others, ..ImportOptions::new(bytes) }
    }

    /// Who an edit is by that is said to be by this author.
    ///
    /// # Errors
    /// 403 for another's name.
    pub fn author(&self, said: Option<String>) -> Result<Option<String>> {
        author(self.name.as_deref(), self.role, said)
    }
}
