//! Edits as training data.

use reasonedit_editor::{PicturePlace, ReasoningPlace, Trainer, TrainingOptions, TrainingTask};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Whose form the rows have.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TrainingFormat)]
pub enum TrainingFormatDto {
    /// TRL: prompt and reply as messages, beside their pictures in a folder that `datasets` reads.
    Trl,
    /// LLaMA-Factory: the sharegpt form with `dataset_info.json`.
    LlamaFactory,
    /// ms-swift: its standard form.
    MsSwift,
}

/// What is trained.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TrainingTask)]
pub enum TrainingTaskDto {
    /// Supervised fine-tuning.
    Sft,
    /// Preference training. Edits are left out of which it isn't known what the model had said, and those
    /// where it had said the same.
    Dpo,
}

/// Where the reasoning stands.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReasoningPlace)]
pub enum ReasoningPlaceDto {
    /// Between `<think>` and `</think>` before the answer.
    Think,
    /// In the answer, a statement a line after it.
    Answer,
    /// Nowhere.
    None,
}

/// Where the pictures are.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PicturePlace)]
pub enum PicturePlaceDto {
    /// Files beside the rows.
    Files,
    /// In the rows, as `data:` URLs; not for LLaMA-Factory, which doesn't read them.
    Inline,
}

/// What is exported, and how.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrainingDataParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// For which trainer.
    #[param(inline)]
    pub format: TrainingFormatDto,
    /// What is trained; `sft` if not given.
    #[param(inline)]
    pub task: Option<TrainingTaskDto>,
    /// Where the reasoning stands; if not given `think` for `sft`, and `none` for `dpo`, where the answer
    /// that it is compared with came without any.
    #[param(inline)]
    pub reasoning: Option<ReasoningPlaceDto>,
    /// Where the pictures are; `files` if not given.
    #[param(inline)]
    pub images: Option<PicturePlaceDto>,
    /// The share of pictures whose edits are kept for testing.
    #[param(minimum = 0, maximum = 1, default = 0.0)]
    pub split: Option<f64>,
    /// Which pictures these are.
    #[param(minimum = 0, default = 0)]
    pub seed: Option<u64>,
}

impl TrainingDataParams {
    /// What is asked for, as the editor takes it.
    pub fn options(&self) -> TrainingOptions {
        let format = match self.format {
            TrainingFormatDto::Trl => Trainer::Trl,
            TrainingFormatDto::LlamaFactory => Trainer::LlamaFactory,
            TrainingFormatDto::MsSwift => Trainer::MsSwift,
        };
        let task = match self.task {
            Some(TrainingTaskDto::Dpo) => TrainingTask::Dpo,
            Some(TrainingTaskDto::Sft) | None => TrainingTask::Sft,
        };
        let usual = TrainingOptions::new(format, task);
        TrainingOptions {
            reasoning: self.reasoning.map_or(usual.reasoning, |place| match place {
                ReasoningPlaceDto::Think => ReasoningPlace::Think,
                ReasoningPlaceDto::Answer => ReasoningPlace::Answer,
                ReasoningPlaceDto::None => ReasoningPlace::None,
            }),
            images: match self.images {
                Some(PicturePlaceDto::Inline) => PicturePlace::Inline,
                Some(PicturePlaceDto::Files) | None => PicturePlace::Files,
            },
            split: self.split.unwrap_or(usual.split),
            seed: self.seed.unwrap_or(usual.seed),
            ..usual
        }
    }
}
