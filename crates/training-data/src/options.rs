//! What is chosen of an export.

use std::str::FromStr;

use reasonedit_codebook::ImageId;
use serde::{Deserialize, Serialize};

use crate::error::TrainingDataError;

/// An enumeration with a word for each value: for command lines and messages.
macro_rules! words {
    ($name:ident { $($value:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// The words of all values.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word of this value.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$value),)+
                    _ => Err(format!("there are: {}", Self::WORDS.join(", "))),
                }
            }
        }
    };
}

/// Whose form the rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trainer {
    /// TRL: conversational vision rows beside their pictures, as `datasets` reads a folder of pictures.
    Trl,
    /// LLaMA-Factory: the sharegpt form with `dataset_info.json`.
    LlamaFactory,
    /// ms-swift: its standard form.
    MsSwift,
}

words!(Trainer { Trl = "trl", LlamaFactory = "llama-factory", MsSwift = "ms-swift" });

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingTask {
    /// Supervised fine-tuning: the right answer to a question about a picture.
    #[default]
    Sft,
    /// Preference training: the right answer against what the model had said before the edit.
    Dpo,
}

words!(TrainingTask { Sft = "sft", Dpo = "dpo" });

/// Where the reasoning of an edit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningPlace {
    /// Between `<think>` and `</think>` before the answer.
    Think,
    /// In the answer: its first line is the answer, every further one a statement.
    Answer,
    /// Nowhere.
    None,
}

words!(ReasoningPlace { Think = "think", Answer = "answer", None = "none" });

/// Where the pictures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PicturePlace {
    /// Files beside the rows.
    #[default]
    Files,
    /// In the rows, as `data:` URLs.
    Inline,
}

words!(PicturePlace { Files = "files", Inline = "inline" });

/// One side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Train,
    Test,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Train, Self::Test];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// What is written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainingOptions {
    /// For whom.
    pub format: Trainer,
    /// What is trained.
    pub task: TrainingTask,
    /// Where the reasoning stands.
    pub reasoning: ReasoningPlace,
    /// Where the pictures are.
    pub images: PicturePlace,
    /// The share of pictures that is kept for testing, in `0..=1`. Every edit of such a picture is.
    pub split: f64,
    /// Which pictures these are.
    pub seed: u64,
}

impl TrainingOptions {
    /// Pictures as files, nothing kept for testing; the reasoning before the answer, or, where the answer is
    /// compared with one that came without any, left out.
    pub const fn new(format: Trainer, task: TrainingTask) -> Self {
        let reasoning = match task {
            TrainingTask::Sft => ReasoningPlace::Think,
            TrainingTask::Dpo => ReasoningPlace::None,
        };
        Self { format, task, reasoning, images: PicturePlace::Files, split: 0.0, seed: 0 }
    }

    /// Whether all of it goes together.
    ///
    /// # Errors
    /// `Option`, by name.
    pub fn check(&self) -> Result<(), TrainingDataError> {
        if !(0.0..=1.0).contains(&self.split) {
            let detail = "The share for testing is between 0 and 1.".to_owned();
            return Err(TrainingDataError::Option { name: "split", detail });
        }
        if (self.format, self.images) == (Trainer::LlamaFactory, PicturePlace::Inline) {
            let detail = "LLaMA-Factory reads pictures from files only.".to_owned();
            return Err(TrainingDataError::Option { name: "images", detail });
        }
        Ok(())
    }

    /// The side of everything about a picture. It follows from seed and picture alone: whatever else comes or
    /// goes, a picture that was kept for testing is never trained on later.
    pub(crate) fn side(&self, image: ImageId) -> Side {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"side of a picture").update(&self.seed.to_le_bytes()).update(&image.0);
        let drawn = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // 53 bits: the fraction is exact.
        if ((drawn >> 11) as f64) < self.split * (1u64 << 53) as f64 { Side::Test } else { Side::Train }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_contract() {
        for word in Trainer::WORDS {
            let format: Trainer = word.parse().unwrap();
            assert_eq!((format.word(), serde_json::to_value(format).unwrap()), (*word, (*word).into()));
        }
        for word in TrainingTask::WORDS {
            assert_eq!(serde_json::to_value(word.parse::<TrainingTask>().unwrap()).unwrap(), *word);
        }
        for word in ReasoningPlace::WORDS {
            assert_eq!(serde_json::to_value(word.parse::<ReasoningPlace>().unwrap()).unwrap(), *word);
        }
        for word in PicturePlace::WORDS {
            assert_eq!(serde_json::to_value(word.parse::<PicturePlace>().unwrap()).unwrap(), *word);
        }
        assert_eq!("axolotl".parse::<Trainer>().unwrap_err(), "there are: trl, llama-factory, ms-swift");
    }

    #[test]
    fn a_split_keeps_its_share_and_its_pictures() {
        let options = |split, seed| TrainingOptions {
            split,
            seed,
            ..TrainingOptions::new(Trainer::Trl, TrainingTask::Sft)
        };
        let images: Vec<ImageId> = (0u32..4000).map(|n| ImageId::of(&n.to_le_bytes())).collect();
        let tested = |split, seed| -> Vec<bool> {
            images.iter().map(|id| options(split, seed).side(*id) == Side::Test).collect()
        };
        let count = |sides: &[bool]| sides.iter().filter(|&&test| test).count();
        let tenth = tested(0.1, 0);
        assert!((340..460).contains(&count(&tenth)), "{}", count(&tenth));
        assert_eq!((count(&tested(0.0, 0)), count(&tested(1.0, 0))), (0, images.len()));
        // A greater share keeps what a smaller one had; another seed is another draw.
        let fifth = tested(0.2, 0);
        assert!(tenth.iter().zip(&fifth).all(|(tenth, fifth)| !tenth || *fifth));
        let other = tested(0.1, 1);
        assert!(count(&tenth.iter().zip(&other).map(|(a, b)| *a && *b).collect::<Vec<_>>()) < 80);
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let options = TrainingOptions::new(Trainer::LlamaFactory, TrainingTask::Sft);
        assert!(options.check().is_ok());
        let name = |options: TrainingOptions| match options.check() {
            Err(TrainingDataError::Option { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        for split in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(name(TrainingOptions { split, ..options }), "split");
        }
        assert_eq!(name(TrainingOptions { images: PicturePlace::Inline, ..options }), "images");
    }
}
