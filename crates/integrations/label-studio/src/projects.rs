//! What setup told of projects, kept for webhooks, which don't tell it again.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use reasonedit_editor::storage::{Journal, StorageResult};
use reasonedit_editor::{CodebookName, Library};
use reasonedit_http::json::from_text;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use super::token::ApiToken;

/// Most projects that are remembered.
const MAX_PROJECTS: usize = 10_000;
/// Most characters of a hostname.
const HOSTNAME_CHARS: usize = 2_000;

/// What setup told of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProjectRecord {
    /// Its codebook, if it has one of its own.
    pub(super) codebook: Option<CodebookName>,
    /// The name that Label Studio gives itself.
    pub(super) hostname: Option<String>,
    /// A token of its owner; kept only where one is needed.
    pub(super) token: Option<ApiToken>,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    project: String,
    #[serde(flatten)]
    record: ProjectRecord,
}

#[derive(Default)]
struct State {
    journal: Option<Journal>,
    known: BTreeMap<String, ProjectRecord>,
}

/// All projects.
#[derive(Default)]
pub(super) struct Projects(Mutex<State>);

/// Rows are found by their project's digest.
fn row_id(project: &str) -> Ulid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(project.as_bytes()).as_bytes()[..16]);
    Ulid::from_bytes(bytes)
}

impl Projects {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Reads what was kept, and keeps what came before it could be. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn open(&self, library: &Library) -> StorageResult<()> {
        let journal = library.journal("label-studio-projects");
        let mut state = self.lock();
        for (project, record) in &state.known {
            write(&journal, project, record)?;
        }
        for (_, bytes) in journal.all()? {
            match serde_json::from_slice::<Row>(&bytes) {
                Ok(row) => {
                    state.known.entry(row.project).or_insert(row.record);
                }
                Err(error) => tracing::error!(%error, "what was kept of a project can't be read"),
            }
        }
        state.journal = Some(journal);
        Ok(())
    }

    /// What is known of a project, if it was connected.
    pub(super) fn find(&self, project: &str) -> Option<ProjectRecord> {
        self.lock().known.get(project).cloned()
    }

    /// What is known of a project.
    pub(super) fn get(&self, project: &str) -> ProjectRecord {
        self.find(project).unwrap_or_default()
    }

    /// Keeps that a project is the configured codebook's, if nothing is known of it: something of it came in
    /// before it was set up. Blocks.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) fn claim(&self, project: &str) -> Result<()> {
        if self.find(project).is_some() { Ok(()) } else { self.put(project, ProjectRecord::default()) }
    }

    /// Keeps what setup told: durable when this returns, once the codebooks are open. Setup comes before
    /// every prediction, so that only a change is written. Blocks.
    ///
    /// # Errors
    /// 500 when the disk refuses, 503 when there are too many projects.
    pub(super) fn put(&self, project: &str, mut record: ProjectRecord) -> Result<()> {
        record.hostname = record.hostname.filter(|host| host.chars().count() <= HOSTNAME_CHARS);
        let mut state = self.lock();
        match state.known.get(project) {
            Some(known) if *known == record => return Ok(()),
            None if state.known.len() >= MAX_PROJECTS => {
                return Err(Problem::new(ProblemKind::Overloaded, "Too many projects are connected."));
            }
            _ => {}
        }
        if let Some(journal) = &state.journal {
            write(journal, project, &record)?;
        }
        state.known.insert(project.to_owned(), record);
        Ok(())
    }
}

fn write(journal: &Journal, project: &str, record: &ProjectRecord) -> StorageResult<()> {
    let row = Row { project: project.to_owned(), record: record.clone() };
    // A record of texts is always JSON.
    journal.put(row_id(project), 0, &serde_json::to_vec(&row).unwrap_or_default())
}

/// The codebook that a backend's extra parameters name: an object, or its text.
///
/// # Errors
/// 422 for parameters of another form, or a name that is none.
pub(super) fn codebook_in(extra: Option<&Value>) -> Result<Option<CodebookName>> {
    let wrong = || {
        Problem::invalid(
            "/extra_params",
            "Extra parameters are a JSON object such as {\"codebook\": \"ward-3\"}.",
        )
    };
    let object = match extra {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => from_text(text).ok_or_else(wrong)?,
        Some(other) => other.clone(),
    };
    match object.as_object().ok_or_else(wrong)?.get("codebook") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => name.parse().map(Some).map_err(|_| {
            Problem::invalid(
                "/extra_params/codebook",
                "A codebook's name is 1 to 64 characters of a-z, 0-9 and -.",
            )
        }),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reasonedit_codebook::{CodebookConfig, CodebookStore, MemoryStore};
    use serde_json::json;

    use super::*;

    fn record(codebook: &str) -> ProjectRecord {
        ProjectRecord {
            codebook: Some(codebook.parse().unwrap()),
            hostname: Some("http://studio.example".to_owned()),
            token: ApiToken::new("0123abcd"),
        }
    }

    #[test]
    fn what_setup_told_is_there_after_a_restart() {
        let store: Arc<dyn CodebookStore> = Arc::new(MemoryStore::new());
        let library = Library::open(store, CodebookConfig::default()).unwrap();
        let projects = Projects::default();
        // Told before the codebooks were open.
        projects.put("1.5", record("ward-3")).unwrap();
        projects.open(&library).unwrap();
        projects.put("2.5", record("ward-4")).unwrap();
        projects.put("2.5", record("ward-5")).unwrap();
        let again = Projects::default();
        again.put("1.5", record("ward-9")).unwrap();
        again.open(&library).unwrap();
        assert_eq!(again.get("1.5"), record("ward-9"), "what came last");
        assert_eq!(again.get("2.5"), record("ward-5"));
        assert_eq!(again.get("3.5"), ProjectRecord::default());
    }

    #[test]
    fn extra_parameters_are_an_object_or_its_text() {
        let name = |extra: Value| codebook_in(Some(&extra)).map(|name| name.map(|name| name.to_string()));
        assert_eq!(codebook_in(None).unwrap(), None);
        for none in
            [json!(null), json!(""), json!({}), json!("{}"), json!({"other": 1}), json!({"codebook": null})]
        {
            assert_eq!(name(none).unwrap(), None);
        }
        for some in [json!({"codebook": "ward-3"}), json!("{\"codebook\": \"ward-3\", \"x\": 1}")] {
            assert_eq!(name(some).unwrap().as_deref(), Some("ward-3"));
        }
        for wrong in
            [json!("ward-3"), json!([1]), json!(5), json!({"codebook": 5}), json!({"codebook": "Ward 3"})]
        {
            assert_eq!(name(wrong).unwrap_err().status().as_u16(), 422);
        }
    }
}
