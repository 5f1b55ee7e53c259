//! A line in each trainer's form, and the files that go with it.

mod llama_factory;
mod ms_swift;
mod row;
mod trl;

use serde::Serialize;

pub(crate) use self::row::{Row, file};
use crate::options::{PicturePlace, Side, Trainer, TrainingOptions};

/// The row as a line, its end included.
pub(crate) fn line(row: &Row<'_>, options: &TrainingOptions) -> serde_json::Result<Vec<u8>> {
    let mut line = match (options.format, options.images) {
        (Trainer::Trl, PicturePlace::Files) => to_json(&trl::InFolder::of(row)),
        (Trainer::Trl, PicturePlace::Inline) => to_json(&trl::Alone::of(row)),
        (Trainer::LlamaFactory, _) => to_json(&llama_factory::Sharegpt::of(row)),
        (Trainer::MsSwift, _) => to_json(&ms_swift::Standard::of(row)),
    }?;
    line.push(b'\n');
    Ok(line)
}

fn to_json(row: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(row)
}

/// The folder of a picture, from the rows' file on, and what stands before that.
pub(crate) fn picture_folder(side: Side, options: &TrainingOptions) -> (String, &'static str) {
    let before = match options.format {
        Trainer::Trl => format!("{}/", side.word()),
        Trainer::LlamaFactory | Trainer::MsSwift => String::new(),
    };
    (before, "images/")
}

/// Files that say what the others are: name and content.
pub(crate) fn index(sides: &[Side], options: &TrainingOptions) -> Option<(&'static str, serde_json::Value)> {
    match options.format {
        Trainer::LlamaFactory => Some(("dataset_info.json", llama_factory::index(sides, options))),
        Trainer::Trl | Trainer::MsSwift => None,
    }
}
