//! Writes questions into the log beside whatever else goes on, and removes them when their time is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reasonedit_codebook::ImageId;
use reasonedit_questions::{KeptQuestion, QuestionKey};
use time::OffsetDateTime;

use super::LoggedQuestion;
use crate::core::Core;
use crate::erase::end_erasures;
use crate::error::EditorError;
use crate::pictures::blocking;

/// How often is looked for what has been kept long enough, and pictures are removed that nothing is about.
const SWEPT: Duration = Duration::from_mins(10);

impl Core {
    /// Logs a question beside whatever else goes on, if questions are logged.
    pub(crate) fn log_question(self: &Arc<Self>, asked: impl FnOnce() -> LoggedQuestion) {
        let log = self.question_log();
        if !log.config.enabled {
            return;
        }
        let Ok(place) = Arc::clone(&log.places).try_acquire_owned() else { return };
        let (asked, id) = (asked(), self.next_id());
        let core = Arc::downgrade(self);
        tokio::spawn(async move {
            let Some(core) = core.upgrade() else { return };
            // No picture goes while a question about it is written.
            let gate = core.gate().read_owned().await;
            let written = blocking(move || {
                let _held = (place, gate);
                core.pictures().keep(&asked.picture)?;
                let key = asked.key.map(|(generation, vector)| QuestionKey { generation, vector });
                let gone = core.question_log().put(KeptQuestion {
                    id,
                    codebook: asked.codebook,
                    at: OffsetDateTime::now_utc(),
                    image: asked.picture.id,
                    question: asked.question,
                    choices: asked.choices,
                    expected: None,
                    key,
                })?;
                core.intend_erasing(&gone)
            });
            if let Err(error) = written.await {
                tracing::warn!(%error, "a question was not logged");
            }
        });
    }

    /// Has the pictures of removed questions removed with the next sweep, unless something else is about
    /// them.
    fn intend_erasing(&self, gone: &[Arc<KeptQuestion>]) -> Result<(), EditorError> {
        let images: BTreeSet<ImageId> = gone.iter().map(|question| question.image).collect();
        for image in images.into_iter().filter(|image| !self.keeps_anything_about(*image)) {
            self.pictures().store().intend_erasing(image)?;
        }
        Ok(())
    }

    /// Removes what has been kept long enough.
    pub(crate) async fn sweep_questions(self: &Arc<Self>) -> Result<(), EditorError> {
        let core = Arc::clone(self);
        let gate = self.gate().write_owned().await;
        blocking(move || {
            let (log, now) = (core.question_log(), OffsetDateTime::now_utc());
            let gone = log.remove_where(|question| log.is_over(question, now))?;
            core.intend_erasing(&gone)?;
            if log.config.enabled || !gone.is_empty() {
                end_erasures(&core, None)?;
            }
            drop(gate);
            Ok(())
        })
        .await
    }

    /// Does so every now and then, for as long as the editor is there.
    pub(crate) fn keep_sweeping(self: &Arc<Self>) {
        if !self.question_log().config.enabled {
            return;
        }
        let core = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEPT).await;
                let Some(core) = core.upgrade() else { break };
                if let Err(error) = core.sweep_questions().await {
                    tracing::warn!(%error, "old questions were not removed from the log");
                }
            }
        });
    }
}
