//! Looking for evidence without making an edit: what a person is shown before deciding where a statement is
//! seen.

use std::time::Instant;

use reasonedit_codebook::{CodebookName, ImageInfo};

use crate::Editor;
use crate::error::EditorError;
use crate::patchify;
use crate::query::milliseconds;
use crate::types::{CallContext, EvidenceFound, ImageSource};
use crate::{text, validate, verify};

impl Editor {
    /// Where a picture shows each statement, by the model: what an edit of them would store, and every part
    /// that was looked at. Nothing is kept, the picture neither. The picture is looked at as an edit of this
    /// codebook would be.
    ///
    /// # Errors
    /// Unusable statements or picture, a busy or failing engine.
    pub async fn find_evidence(
        &self,
        codebook: &CodebookName,
        image: &ImageSource,
        statements: &[String],
        call: CallContext,
    ) -> Result<EvidenceFound, EditorError> {
        let began = Instant::now();
        let statements = &text::read_statements(statements)[..];
        validate::statements(statements, &self.config().limits)?;
        let picture = self.pictures().resolve(image, self.pixel_rules(codebook)?).await?;
        let texts: Vec<&str> = statements.iter().map(String::as_str).collect();
        let (engine, config, prompts) = (self.engine(), &self.config().patchify, &self.config().prompts);
        let options = call.options();
        let ((searches, queue_ms), (p_yes, waited)) = tokio::try_join!(
            patchify::search(engine, config, prompts, &picture, &texts, options),
            verify::shown(engine, prompts, picture.input(None), &texts, options),
        )?;
        let places = p_yes.iter().enumerate().filter(|(_, p)| p.is_none());
        let too_long: Vec<_> = places.map(|(at, _)| verify::unaskable(format!("/statements/{at}"))).collect();
        if !too_long.is_empty() {
            return Err(EditorError::Invalid(too_long));
        }
        let p_yes = p_yes.into_iter().flatten().collect();
        let image: ImageInfo = picture.info();
        Ok(EvidenceFound {
            image,
            searches,
            p_yes,
            warnings: picture.warnings("/image").collect(),
            queue_ms: queue_ms + waited,
            total_ms: milliseconds(began),
        })
    }
}
