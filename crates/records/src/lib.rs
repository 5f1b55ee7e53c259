//! What a codebook is made of: ids, records of edits, their members, the keys that these merge into, and
//! their geometry; and what can go wrong.

pub mod error;
mod failure;
pub mod geometry;
pub mod ids;
pub mod key;
pub mod member;
pub mod records;
pub mod seeds;

pub use error::{CodebookError, Result, Unwritable};
