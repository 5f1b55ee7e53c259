//! The report as pictures, like the paper's figures 6 and 7: SVG that needs no font, script or file beside
//! it.

mod layers;
mod layout;
mod network;
mod weights;

pub use layers::layers;
pub use network::network;
pub use weights::weights;

use reasonedit_figure::axis::Point;
use reasonedit_figure::colour::{BLUE, GREEN, VERMILION};

use crate::statistic::Statistic;

/// Vision, language, and what joins them.
const VISION: &str = BLUE;
const LANGUAGE: &str = VERMILION;
const JOINT: &str = GREEN;

/// A mean with a band of one standard deviation.
fn point(x: f64, figure: &Statistic) -> Point {
    let (value, deviation) = (figure.mean, figure.standard_deviation);
    Point { x, value, low: value - deviation, high: value + deviation }
}

#[cfg(test)]
mod tests;
