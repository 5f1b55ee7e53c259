//! Datasets in, figures out: what edits do to a model's answers, beside what other editors do.
//!
//! [`evaluate`] makes real edits (errors of the unedited model) with every editor and asks everything that
//! tests them; [`EvaluationReport`] makes figures of the outcomes. Editors stand behind one trait,
//! [`BaselineEditor`]; [`EditorRegistry`] makes those that there are.
//!
//! Shares come with an interval over edits, and names say what can be evaluated:
//!
//! ```
//! use reasonedit_evaluation::{Bootstrap, EditorVariant, editor_names};
//!
//! // Right answers and questions of three edits.
//! let right = Bootstrap::default().estimate(&[(2.0, 2), (1.0, 2), (2.0, 2)]);
//! assert_eq!(right.value, Some(5.0 / 6.0));
//! assert!(right.low < right.value && right.value <= right.high);
//!
//! assert!(editor_names().contains(&"no-merging".to_owned()));
//! // Another variant, as `reasonedit eval --variant` takes it.
//! let wide = EditorVariant::parse("wide:codebook.retrieval.k=9")?;
//! assert_eq!(wide.about, "With `codebook.retrieval.k` = 9.");
//! # Ok::<(), reasonedit_evaluation::EvaluationError>(())
//! ```

mod baseline;
mod editors;
mod error;
mod estimate;
mod journal;
mod memory;
mod named_values;
mod passes;
mod picture_cache;
mod plan;
mod probes;
mod questions;
mod report;
mod run;
mod runner;
mod saved_states;
mod settings;
#[cfg(test)]
mod testing;
mod training;
mod truth;
mod tune;
mod tuned;

pub use baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFactory, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, RetrievalSetting, SentenceInFront, SentencePart, TunableFactory,
};
pub use editors::{EditorRegistry, EditorVariant, GraceSettings, REASONEDIT, UNEDITED, editor_names};
pub use error::{EvaluationError, RunKind};
pub use estimate::{Bootstrap, Estimate};
pub use journal::{EditLine, OutcomeJournal, PassEnd, QuestionOutcome, WorkLine, check_kind};
pub use named_values::NamedValues;
pub use plan::{EvaluationPlan, Measured, MeasuredEditor, ProgressCallback, Sequential};
pub use probes::perception;
pub use questions::{EvaluationQuestion, Metric};
pub use report::{
    Drift, EditorFigures, EvaluationReport, HarmonicMeans, InFrontFigures, MetricFigure, MetricFigures,
    NoiseFigures, ProtocolFigures, Provenance, SequentialFigures, SequentialTest, SweepFigures,
};
pub use run::evaluate;
pub use settings::{EditorSettings, TuningSpace};
pub use training::TrainingCallback;
pub use tune::{TuningPlan, tune};
pub use tuned::{Trial, Tuned, TunedEditor};
