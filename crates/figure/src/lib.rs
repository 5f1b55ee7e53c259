//! Charts as SVG that needs no font, script or file beside it: the shapes, axes and colours that all figures
//! share.
//!
//! Pure: no I/O, no clock, no global state. The same figures give the same bytes on every machine.

pub mod axis;
pub mod colour;
pub mod svg;

/// Width of every figure in pixels.
pub const WIDTH: f64 = 960.0;
