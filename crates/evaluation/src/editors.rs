//! The editors that can be evaluated, one file each, and by which names they are made.
//!
//! Another baseline is another file here that implements [`BaselineEditor`] and says in its `EDITORS` under
//! which names it is made, and its line in [`ALL`].

mod answer;
mod definition;
mod edit_cache;
mod grace;
mod grace_settings;
mod ike;
mod oracle;
mod reason_edit;
mod unedited;
mod variant;

use std::path::PathBuf;

use reasonedit_editor::EditorConfig;
use reasonedit_inference::EngineHandle;

use crate::EvaluationError;
use crate::baseline::{BaselineEditor, EditorFactory, EditorFuture};

use definition::{EditorDefinition, EditorParts};
use edit_cache::SharedEditCache;
pub use grace_settings::GraceSettings;
pub use reason_edit::REASONEDIT;
pub use unedited::UNEDITED;
pub use variant::EditorVariant;

/// The editors of each file, in the order of the tables.
const ALL: &[&[EditorDefinition]] =
    &[unedited::EDITORS, reason_edit::EDITORS, oracle::EDITORS, ike::EDITORS, grace::EDITORS];

/// Editors that no variant may be named after.
fn definitions() -> impl Iterator<Item = &'static EditorDefinition> {
    ALL.iter().copied().flatten()
}

/// Names of the editors that there are without further variants: the baselines, then the ablations.
pub fn editor_names() -> Vec<String> {
    let ablations = EditorVariant::ablations().into_iter().map(|variant| variant.name);
    definitions().map(|definition| definition.name.to_owned()).chain(ablations).collect()
}

/// Makes editors on one engine.
pub struct EditorRegistry {
    edit_cache: SharedEditCache,
    base: EditorConfig,
    variants: Vec<EditorVariant>,
    grace: GraceSettings,
}

impl EditorRegistry {
    /// A registry whose editors keep what they make below `folder`. `variants` stand beside the paper's
    /// ablations.
    ///
    /// # Errors
    /// A variant under a name that is taken, or that changes what there is not.
    pub fn new(
        engine: EngineHandle,
        base: EditorConfig,
        folder: PathBuf,
        variants: Vec<EditorVariant>,
    ) -> Result<Self, EvaluationError> {
        let base = Self::widened(base);
        let mut all = EditorVariant::ablations();
        for variant in variants {
            let taken = definitions().any(|definition| definition.name == variant.name)
                || all.iter().any(|other| other.name == variant.name);
            if taken {
                return Err(EvaluationError::Variant {
                    name: variant.name,
                    what: "there is an editor of this name".to_owned(),
                });
            }
            variant.of(&base)?;
            all.push(variant);
        }
        let edit_cache = SharedEditCache::new(engine, folder);
        Ok(Self { edit_cache, base, variants: all, grace: GraceSettings::default() })
    }

    /// The same with another layer, radius or training of GRACE.
    #[must_use]
    pub fn with_grace(self, grace: GraceSettings) -> Self {
        Self { grace, ..self }
    }

    /// Names of all editors, in the order of the tables.
    pub fn names(&self) -> Vec<String> {
        let defined = definitions().map(|definition| definition.name.to_owned());
        defined.chain(self.variants.iter().map(|variant| variant.name.clone())).collect()
    }

    /// Prompts of baselines are longer than people's questions, and boxes that one editor found are given to
    /// another.
    fn widened(mut base: EditorConfig) -> EditorConfig {
        base.limits.question_chars = base.limits.question_chars.max(100_000);
        base.limits.statements = base.limits.statements.max(64);
        base.limits.boxes = base.limits.boxes.max(64);
        base
    }

    async fn make(&self, name: &str, set: &str) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
        let parts = EditorParts { edit_cache: &self.edit_cache, base: &self.base, grace: self.grace, set };
        if let Some(definition) = definitions().find(|definition| definition.name == name) {
            return (definition.make)(&parts).await;
        }
        let variant =
            self.variants.iter().find(|variant| variant.name == name).cloned().ok_or_else(|| {
                EvaluationError::UnknownEditor { name: name.to_owned(), known: self.names().join(", ") }
            })?;
        reason_edit::variant_of(&parts, variant).await
    }
}

impl EditorFactory for EditorRegistry {
    fn editor<'a>(&'a self, name: &'a str, set: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
        Box::pin(self.make(name, set))
    }
}
