//! What a codebook is made of: ids, records of edits, how these stand to each other, their members, the keys
//! that these merge into, and their geometry; and what can go wrong.

pub mod error;
mod failure;
pub mod geometry;
pub mod ids;
pub mod key;
pub mod member;
pub mod moment;
pub mod records;
pub mod relations;
pub mod relevant;
pub mod seeds;
pub mod sorted;

pub use error::{CodebookError, Result, Unwritable};
