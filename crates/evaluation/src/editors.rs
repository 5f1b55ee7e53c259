//! The editors that can be evaluated, one file each, and by which names they are made.
//!
//! Another baseline is another file here that implements [`BaselineEditor`], and a name in
//! [`EditorRegistry::editor`].

mod edit_cache;
mod grace;
mod grace_codebook;
mod ike;
mod oracle;
mod reason_edit;
mod unedited;
mod variant;

use std::path::PathBuf;

use futures::future::BoxFuture;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::{Editor, EditorConfig, QueryRequest, RetrievalOverride};
use reasonedit_vlm::engine::EngineHandle;

use crate::EvaluationError;
use crate::baseline::{BaselineEditor, EditorFactory, EditorQuestion};

use edit_cache::SharedEditCache;
pub use grace::GraceSettings;
pub use variant::EditorVariant;

/// The editor that every other is compared with.
pub const REASONEDIT: &str = "reasonedit";
/// The model as it is.
pub const UNEDITED: &str = "unedited";
const ORACLE: &str = "oracle";
const IKE: &str = "ike";
const IKE_COT: &str = "ike-cot";
const GRACE: &str = "grace";
const GRACE_COT: &str = "grace-cot";
/// Editors that no variant may be named after.
const FIXED: [&str; 7] = [UNEDITED, REASONEDIT, ORACLE, IKE, IKE_COT, GRACE, GRACE_COT];

/// Names of the editors that there are without further variants: the baselines, then the ablations.
pub fn editor_names() -> Vec<String> {
    let ablations = EditorVariant::ablations().into_iter().map(|variant| variant.name);
    FIXED.into_iter().map(str::to_owned).chain(ablations).collect()
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
            let taken =
                FIXED.contains(&variant.name.as_str()) || all.iter().any(|other| other.name == variant.name);
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
        let fixed = FIXED.into_iter().map(str::to_owned);
        fixed.chain(self.variants.iter().map(|variant| variant.name.clone())).collect()
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
        let plain = || self.edit_cache.plain(&self.base);
        let variant = match name {
            UNEDITED => return Ok(Box::new(unedited::Unedited::new(plain().await?))),
            ORACLE => return Ok(Box::new(oracle::Oracle::new(plain().await?))),
            IKE => return Ok(Box::new(ike::Ike::new(IKE, false, plain().await?))),
            IKE_COT => return Ok(Box::new(ike::Ike::new(IKE_COT, true, plain().await?))),
            GRACE | GRACE_COT => {
                let reasoning = name == GRACE_COT;
                return Ok(Box::new(grace::Grace::new(reasoning, plain().await?, self.grace).await?));
            }
            REASONEDIT => EditorVariant::unchanged(),
            other => {
                self.variants.iter().find(|variant| variant.name == other).cloned().ok_or_else(|| {
                    EvaluationError::UnknownEditor { name: other.to_owned(), known: self.names().join(", ") }
                })?
            }
        };
        let config = variant.of(&self.base)?;
        let unchanged = config == self.base && name != REASONEDIT;
        let baseline = reason_edit::ReasonEdit::new(
            variant.profile(&config, unchanged),
            &self.edit_cache,
            &self.base,
            config,
            set,
        );
        Ok(Box::new(baseline.await?))
    }
}

impl EditorFactory for EditorRegistry {
    fn editor<'a>(
        &'a self,
        name: &'a str,
        set: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn BaselineEditor>, EvaluationError>> {
        Box::pin(self.make(name, set))
    }
}

/// The model's answer to a prompt, without any codebook.
async fn answer(
    editor: &Editor,
    question: &EditorQuestion,
    prompt: String,
) -> Result<String, EvaluationError> {
    let request = QueryRequest {
        image: question.image.clone(),
        question: prompt,
        choices: question.choices.clone(),
        max_tokens: None,
        retrieval: RetrievalOverride { enabled: Some(false), ..RetrievalOverride::default() },
        compare: false,
        warnings: Vec::new(),
    };
    let outcome =
        editor.query(&CodebookName::default(), request, reasonedit_editor::CallContext::default()).await?;
    Ok(outcome.answer)
}
