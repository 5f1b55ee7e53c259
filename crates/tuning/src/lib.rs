//! What changes weights, on copies of them: gradients through a model's language side, and the editors that
//! use them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use reasonedit_imaging::RgbImage;
//! use reasonedit_models::LoadOptions;
//! use reasonedit_tuning::{Correction, EditingMethod, FineTuning, FineTuningSettings, Question};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");
//! let model = reasonedit_models::load(demo, &LoadOptions::default())?;
//! let picture = Arc::new(RgbImage::from_fn(64, 64, |x, _| [x as u8 * 3, 40, 90].into()).into());
//! let choices = vec!["pumpkin".to_owned(), "square".to_owned()];
//!
//! let mut editor = FineTuning::new(FineTuningSettings::default());
//! let question = Question { picture, text: "What is this specimen called?".into(), choices };
//! editor.edit(&*model, &Correction { question: question.clone(), reply: "pumpkin".into() })?;
//! assert_eq!(editor.answer(&*model, &question)?.text, "pumpkin");
//! # Ok(())
//! # }
//! ```

mod adapter_training;
mod answer;
mod balancedit;
mod error;
mod feed_forward;
mod fine_tuning;
mod live_edit;
mod lora;
mod loss;
mod mend;
mod method;
mod minimise;
mod picture;
mod prompt;
mod training_case;
mod weights;
mod wise;

pub use adapter_training::{AdapterProgress, AdapterSettings, AdapterTraining};
pub use answer::{best_choice, generate, reply_log_likelihoods, unedited_answer};
pub use balancedit::{BalancEdit, BalancEditSettings};
pub use error::TuningError;
pub use fine_tuning::{FineTuning, FineTuningSettings};
pub use live_edit::{LiveEditExperts, LiveEditNetwork, LiveEditSettings};
pub use lora::{Lora, LoraSettings};
pub use loss::cross_entropy;
pub use mend::{Mend, MendNetwork, MendSettings};
pub use method::{Correction, EditingMethod, Question, TunedAnswer, reply_with_reasoning};
pub use minimise::{Minimised, Optimiser, Schedule, minimise};
pub use picture::Picture;
pub use prompt::{Example, Prompt};
pub use training_case::{EditorNetwork, LossCurves, NetworkOrigin, TrainingCase, TrainingProgress};
pub use weights::{WeightPatch, last_feed_forward};
pub use wise::{Wise, WiseSettings};
