//! What a panic said.

use std::any::Any;

/// What a panic said.
///
/// ```
/// let panic = std::panic::catch_unwind(|| panic!("no such layer")).unwrap_err();
/// assert_eq!(reasonedit_resilience::panic_message(panic.as_ref()), "no such layer");
/// ```
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}
