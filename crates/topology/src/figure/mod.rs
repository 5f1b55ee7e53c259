//! The report as pictures, like the paper's figures 6 and 7: SVG that needs no font, script or file beside it.

mod axis;
mod layers;
mod layout;
mod network;
mod svg;
mod weights;

pub use layers::layers;
pub use network::network;
pub use weights::weights;

/// Width of every figure in pixels.
const WIDTH: f64 = 960.0;

/// Okabe and Ito's palette, told apart by all kinds of colour vision: vision, language, and what joins them.
const VISION: &str = "#0072b2";
const LANGUAGE: &str = "#d55e00";
const JOINT: &str = "#00805e";
const INK: &str = "#222222";
const MUTED: &str = "#5f6368";
const GRID: &str = "#e3e5e8";

#[cfg(test)]
#[path = "figure_tests.rs"]
mod tests;
