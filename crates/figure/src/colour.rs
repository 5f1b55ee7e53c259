//! The colours of all figures.

/// Okabe and Ito's blue.
pub const BLUE: &str = "#0072b2";
/// Okabe and Ito's vermilion.
pub const VERMILION: &str = "#d55e00";
/// A green a little darker than Okabe and Ito's, so that thin lines of it can be seen on white.
pub const GREEN: &str = "#00805e";
/// Text.
pub const INK: &str = "#222222";
/// Text that matters less.
pub const MUTED: &str = "#5f6368";
/// Lines of a grid.
pub const GRID: &str = "#e3e5e8";

/// For many lines or bars beside one another, in the order to take them: Okabe and Ito's palette, then others
/// between; beyond the end it begins anew.
pub const SERIES: [&str; 14] = [
    BLUE, VERMILION, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#6a51a3", "#8c6d31", "#3d3d3d", "#a50026",
    "#17becf", "#9a9a00", "#f2a6a6", "#8fd18f",
];
/// What others are compared with, and is none of them.
pub const NEUTRAL: &str = "#a8adb3";

/// The colour of the line or bar with this number.
pub fn series(number: usize) -> &'static str {
    SERIES[number % SERIES.len()]
}
