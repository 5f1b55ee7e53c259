//! What can go wrong in an edit or a query, with the place of what is wrong in the request, and what kind of
//! failure that is.

mod error;
mod failure;

pub use error::{EditorError, FieldError};
