//! The editors that can be evaluated, one file each, and by which names they are made.
//!
//! Another baseline is another file here that implements [`BaselineEditor`] and says in its `EDITORS` under
//! which names it is made, and its line in [`ALL`].

mod answer;
mod balancedit;
mod definition;
mod edit_cache;
mod fine_tuning;
mod grace;
mod grace_settings;
mod ike;
mod live_edit;
mod lora;
mod mend;
mod oracle;
mod reason_edit;
mod unedited;
mod variant;
mod weight_editor;
mod wise;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use reasonedit_dataset::Dataset;
use reasonedit_editor::EditorConfig;
use reasonedit_inference::EngineHandle;

use crate::EvaluationError;
use crate::baseline::{BaselineEditor, EditorFactory, EditorFuture, TunableFactory};
use crate::picture_cache::PictureCache;
use crate::settings::{EditorSettings, PUBLISHED, TuningSpace, labelled, unlabelled};
use crate::training::TrainingCallback;

use definition::{EditorDefinition, EditorParts};
use edit_cache::SharedEditCache;
pub use grace_settings::GraceSettings;
pub use reason_edit::REASONEDIT;
pub use unedited::UNEDITED;
pub use variant::EditorVariant;

/// The editors of each file, in the order of the tables.
const ALL: &[&[EditorDefinition]] = &[
    unedited::EDITORS,
    reason_edit::EDITORS,
    oracle::EDITORS,
    ike::EDITORS,
    grace::EDITORS,
    fine_tuning::EDITORS,
    mend::EDITORS,
    balancedit::EDITORS,
    live_edit::EDITORS,
    lora::EDITORS,
    wise::EDITORS,
];

/// Editors that no variant may be named after.
fn definitions() -> impl Iterator<Item = &'static EditorDefinition> {
    ALL.iter().copied().flatten()
}

/// Names of the editors that there are without further variants: the baselines, then the ablations.
pub fn editor_names() -> Vec<String> {
    let ablations = EditorVariant::ablations().into_iter().map(|variant| variant.name);
    definitions().map(|definition| definition.name.to_owned()).chain(ablations).collect()
}

/// Whether it is no editor but what editors are seen against: the model as it is, the ceiling of retrieval.
pub(crate) fn is_bound(name: &str) -> bool {
    name == UNEDITED || name == oracle::ORACLE
}

/// Whether it is one of the paper's ablations.
pub(crate) fn is_ablation(name: &str) -> bool {
    EditorVariant::ablations().iter().any(|variant| variant.name == name)
}

/// Makes editors on one engine.
pub struct EditorRegistry {
    edit_cache: SharedEditCache,
    pictures: Arc<PictureCache>,
    base: EditorConfig,
    variants: Vec<EditorVariant>,
    grace: GraceSettings,
    /// Settings by the whole name: of a tuning under the editor's own, others under a label.
    settings: BTreeMap<String, EditorSettings>,
    training: Option<Dataset>,
    training_progress: Option<TrainingCallback>,
    folder: PathBuf,
}

impl EditorRegistry {
    /// A registry whose editors keep what they make below `folder`; what killed processes left there goes.
    /// `variants` stand beside the paper's ablations.
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
        balancedit::clear_abandoned(&folder);
        let edit_cache = SharedEditCache::new(engine, folder.clone());
        let pictures = Arc::new(PictureCache::new(base.image.clone()));
        let (grace, settings, training) = (GraceSettings::default(), BTreeMap::new(), None);
        let training_progress = None;
        Ok(Self {
            edit_cache,
            pictures,
            base,
            variants: all,
            grace,
            settings,
            training,
            training_progress,
            folder,
        })
    }

    /// The same with another layer, radius or training of GRACE.
    #[must_use]
    pub fn with_grace(self, grace: GraceSettings) -> Self {
        Self { grace, ..self }
    }

    /// The same with another engine of the same model, for editors that are measured at the same time.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineHandle) -> Self {
        self.edit_cache.add(engine);
        self
    }

    /// The same with records that editors which need some are trained on before any edit. None of them may be
    /// evaluated.
    #[must_use]
    pub fn with_training(self, training: Dataset) -> Self {
        Self { training: Some(training), ..self }
    }

    /// The same, telling how a training goes.
    #[must_use]
    pub fn with_training_progress(self, progress: TrainingCallback) -> Self {
        Self { training_progress: Some(progress), ..self }
    }

    /// Names of all editors, in the order of the tables. One that has settings of a tuning stands beside
    /// itself as published.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for definition in definitions() {
            names.push(definition.name.to_owned());
            if self.settings.contains_key(definition.name) && !definition.published.is_empty() {
                names.push(labelled(definition.name, PUBLISHED));
            }
        }
        names.extend(self.variants.iter().map(|variant| variant.name.clone()));
        names
    }

    /// Names of the editors that have something to tune.
    pub fn tunable(&self) -> Vec<String> {
        definitions().filter(|own| !own.grid.is_empty()).map(|own| own.name.to_owned()).collect()
    }

    /// Those of these editors that are trained before any edit.
    pub fn trained<'n>(&self, names: &'n [String]) -> Vec<&'n str> {
        let is_trained = |name: &&str| self.definition(name).is_ok_and(|own| own.trained);
        names.iter().map(String::as_str).filter(is_trained).collect()
    }

    /// Whether an editor can be made under this name: one of [`Self::names`], or one of them as published.
    pub fn knows(&self, name: &str) -> bool {
        self.names().iter().any(|own| own == name)
            || self.settings.contains_key(name)
            || definitions().any(|own| !own.published.is_empty() && labelled(own.name, PUBLISHED) == name)
    }

    /// Prompts of baselines are longer than people's questions, and boxes that one editor found are given to
    /// another.
    fn widened(mut base: EditorConfig) -> EditorConfig {
        base.limits.question_chars = base.limits.question_chars.max(100_000);
        base.limits.statements = base.limits.statements.max(64);
        base.limits.boxes = base.limits.boxes.max(64);
        base
    }

    fn unknown(&self, name: &str) -> EvaluationError {
        EvaluationError::UnknownEditor { name: name.to_owned(), known: self.names().join(", ") }
    }

    /// The definition of an editor by its name, with or without a label.
    fn definition(&self, name: &str) -> Result<&'static EditorDefinition, EvaluationError> {
        let plain = unlabelled(name);
        definitions().find(|definition| definition.name == plain).ok_or_else(|| self.unknown(name))
    }

    async fn make(&self, name: &str, set: &str) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
        let settings = &EditorFactory::settings(self, name);
        let parts = EditorParts {
            edit_cache: &self.edit_cache,
            pictures: &self.pictures,
            base: &self.base,
            grace: self.grace,
            settings,
            training: self.training.as_ref(),
            folder: &self.folder,
            training_progress: self.training_progress.as_ref(),
            set,
        };
        if let Some(variant) = self.variants.iter().find(|variant| variant.name == name) {
            return reason_edit::variant_of(&parts, variant.clone()).await;
        }
        if !self.knows(name) {
            return Err(self.unknown(name));
        }
        (self.definition(name)?.make)(&parts).await
    }
}

impl EditorFactory for EditorRegistry {
    fn settings(&self, name: &str) -> EditorSettings {
        if let Some(settings) = self.settings.get(name) {
            return settings.clone();
        }
        match self.definition(name) {
            Ok(own) if labelled(own.name, PUBLISHED) == name => {
                EditorSettings::new(own.published.iter().copied())
            }
            _ => EditorSettings::default(),
        }
    }

    fn training(&self, name: &str) -> Option<String> {
        let training = self.training.as_ref()?;
        self.definition(name).is_ok_and(|own| own.trained).then(|| training.digest().to_owned())
    }

    fn shares_work(&self, name: &str) -> bool {
        unlabelled(name) == REASONEDIT || self.variants.iter().any(|variant| variant.name == name)
    }

    fn editor<'a>(&'a self, name: &'a str, set: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
        Box::pin(self.make(name, set))
    }
}

impl TunableFactory for EditorRegistry {
    fn space(&self, name: &str) -> Result<TuningSpace, EvaluationError> {
        let definition = self.definition(name)?;
        if definition.grid.is_empty() {
            let what = format!("it has nothing to tune; these have: {}", self.tunable().join(", "));
            return Err(EvaluationError::Variant { name: name.to_owned(), what });
        }
        let grid = definition.grid.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec()));
        let published = EditorSettings::new(definition.published.iter().copied());
        Ok(TuningSpace { published, grid: grid.collect() })
    }

    fn with_settings(mut self, name: &str, settings: EditorSettings) -> Result<Self, EvaluationError> {
        let definition = self.definition(name)?;
        let named = definition.published.iter().map(|(name, _)| *name);
        let known: BTreeSet<&str> = named.chain(definition.grid.iter().map(|(name, _)| *name)).collect();
        if let Some((setting, _)) = settings.iter().find(|(setting, _)| !known.contains(setting)) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("it has no setting `{setting}` that is tuned; there are: {known}");
            return Err(EvaluationError::Variant { name: name.to_owned(), what });
        }
        self.settings.insert(name.to_owned(), settings);
        Ok(self)
    }
}
