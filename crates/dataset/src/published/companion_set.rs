//! The sets that go with published records, told by their columns.

use crate::files::RawRecord;

/// A set that goes with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CompanionSet {
    /// The question in other words.
    Texts,
    /// Similar pictures.
    Images,
    /// Questions about the rationale.
    Rationale,
    /// Scenes that show what the model failed to recognise.
    Errors,
    /// Reasoning, sentence by sentence.
    Thoughts,
}

impl CompanionSet {
    /// As it is spoken of.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Texts => "related texts",
            Self::Images => "related images",
            Self::Rationale => "R-Gen",
            Self::Errors => "CoE",
            Self::Thoughts => "chains of thought",
        }
    }

    /// Those that fill a column, with what it is called and where the set is looked for.
    pub(super) const MEASURED: [(Self, &'static str, &'static str); 4] = [
        (Self::Texts, "text", "columns uid and variants, or t_gen/NAME.parquet"),
        (Self::Images, "image", "columns uid and images, or i_gen/NAME.parquet and data/related_image/NAME"),
        (Self::Rationale, "rationale", "columns uid, sid, question and answers, or r_gen/qa/NAME.parquet"),
        (
            Self::Errors,
            "chain of error",
            "columns uid, cid and image_path, e_gen/NAME.parquet, or data/coe_gen_merge/image/NAME/MODEL/UID",
        ),
    ];

    /// The set that a row is of, by its columns.
    pub(crate) fn of(row: &RawRecord) -> Option<Self> {
        let has = |name: &str| row.contains_key(name);
        if has("image_info_id") && has("image_path") && !has("question") {
            return Some(Self::Images);
        }
        if !has("uid") {
            return None;
        }
        match () {
            () if has("variants") || has("paraphrases") => Some(Self::Texts),
            () if has("images") || has("similar_images") => Some(Self::Images),
            () if has("sid") || (has("question") && has("answers")) => Some(Self::Rationale),
            () if has("cid") => Some(Self::Errors),
            () if (has("reason") || has("cot")) && !has("question") => Some(Self::Thoughts),
            () => None,
        }
    }
}
