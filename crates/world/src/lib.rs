//! A synthetic, consistent picture world: scenes, questions, rules, episodes, all from a seed.

pub mod context;
pub mod episode;
pub mod language;
pub mod pairs;
pub mod perception;
pub mod probe;
pub mod random;
pub mod record;
pub mod render;
pub mod scene;
pub mod sentence;
pub mod truth;
pub mod universe;
pub mod view;
pub mod vocabulary;
pub mod writer;

/// What can go wrong while a world is made.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A scene that cannot be drawn.
    #[error("the scene cannot be drawn: {0}")]
    Drawing(&'static str),
    /// A picture that cannot be resized or encoded.
    #[error(transparent)]
    Imaging(#[from] reasonedit_imaging::ImagingError),
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file, relative to the folder that was given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Text that cannot be serialised.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
