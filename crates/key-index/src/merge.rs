//! When two keys become one (paper appendix C, "Merging keys").

use serde::{Deserialize, Serialize};

use crate::geometry;

/// Which of the two conditions must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeRule {
    /// Overlap and distance, as the paper says.
    All,
    /// Overlap or distance, as the authors' code does.
    Any,
}

/// When a new key merges into an existing one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergeConfig {
    /// Off: every member is a key of its own.
    pub enabled: bool,
    /// The circles' shared area must exceed this share of each circle (paper appendix C: 0.9).
    pub overlap: f64,
    /// The distance must be less than this share of each radius (paper appendix C: 0.1).
    pub distance: f64,
    /// How the two conditions combine (paper: both).
    pub rule: MergeRule,
}

impl Default for MergeConfig {
    fn default() -> Self {
        Self { enabled: true, overlap: 0.9, distance: 0.1, rule: MergeRule::All }
    }
}

impl MergeConfig {
    /// Whether keys of radii `a` and `b` at distance `d` merge. Radii and distance in the units of the key
    /// space.
    pub fn merges(&self, a: f32, b: f32, d: f64) -> bool {
        if !self.enabled {
            return false;
        }
        let (a, b) = (f64::from(a), f64::from(b));
        let near = d < self.distance * a.min(b);
        let overlapping = || {
            let (of_a, of_b) = geometry::overlap(a, b, d);
            of_a > self.overlap && of_b > self.overlap
        };
        match self.rule {
            MergeRule::All => near && overlapping(),
            MergeRule::Any => near || overlapping(),
        }
    }

    /// No key farther than this merges with a key of this radius, whatever its own radius is.
    pub fn reach(&self, radius: f32) -> f64 {
        let radius = f64::from(radius);
        let near = self.distance * radius;
        match self.rule {
            MergeRule::All => near,
            // The smaller circle's area over the larger one's bounds the larger one's share, so the other
            // radius is below radius/√overlap; and circles that share anything are nearer than the sum of
            // their radii.
            MergeRule::Any => near.max(radius + radius / self.overlap.max(0.0).sqrt()),
        }
    }
}

#[cfg(test)]
mod tests;
