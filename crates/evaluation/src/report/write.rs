//! The report as files.

use std::path::Path;

use super::EvaluationReport;
use crate::EvaluationError;

impl EvaluationReport {
    /// Writes `report.json`, `report.md` and the pictures into a folder, which is made if missing.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), EvaluationError> {
        std::fs::create_dir_all(folder).map_err(|error| EvaluationError::file(folder, error))?;
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| EvaluationError::file(folder, error.into()))?;
        let mut files =
            vec![("report.json".to_owned(), json + "\n"), ("report.md".to_owned(), self.markdown())];
        files.extend(self.figures());
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|error| EvaluationError::file(&path, error))?;
        }
        Ok(())
    }
}
