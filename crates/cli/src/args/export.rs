//! Options of `export`.

#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "doc comments here are help texts, shown as they are"
)]

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use reasonedit_editor::{PicturePlace, ReasoningPlace, Trainer, TrainingOptions, TrainingTask};

use super::shared::TargetArgs;

/// `export`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Edits of one picture are never on both sides of a split, and stay on theirs in later exports.\n\
    What was left out, and why, stands in manifest.json.\n\
    Example:\n  reasonedit export --format trl --split 0.1 --out training\n  trl sft --dataset_name training …"
)]
pub(crate) struct ExportArgs {
    /// For which trainer
    #[arg(long, value_name = "TRAINER", value_parser = word::<Trainer>(Trainer::WORDS))]
    pub(crate) format: Trainer,

    /// Where to write: a folder, which is made, a file whose name ends with .tar, or - for a tar on the
    /// standard output
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,

    /// What is trained: sft, the right answers; dpo, pairs of them and what the model had said before
    #[arg(long, value_name = "TASK", value_parser = word::<TrainingTask>(TrainingTask::WORDS), default_value = "sft")]
    pub(crate) task: TrainingTask,

    /// Where the reasoning stands: between <think> and </think>, in the answer, or nowhere
    /// [default: think for sft, none for dpo]
    #[arg(long, value_name = "PLACE", value_parser = word::<ReasoningPlace>(ReasoningPlace::WORDS))]
    pub(crate) reasoning: Option<ReasoningPlace>,

    /// Where the pictures are: files beside the rows, or in the rows (not for LLaMA-Factory)
    #[arg(long, value_name = "PLACE", value_parser = word::<PicturePlace>(PicturePlace::WORDS), default_value = "files")]
    pub(crate) images: PicturePlace,

    /// Share of pictures whose edits are kept for testing
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) split: f64,

    /// Which pictures these are
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

impl ExportArgs {
    /// What is written.
    pub(crate) fn options(&self) -> TrainingOptions {
        let usual = TrainingOptions::new(self.format, self.task);
        TrainingOptions {
            reasoning: self.reasoning.unwrap_or(usual.reasoning),
            images: self.images,
            split: self.split,
            seed: self.seed,
            ..usual
        }
    }
}

/// One of these words; another is answered with all of them.
fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}
