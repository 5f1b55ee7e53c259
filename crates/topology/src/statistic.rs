//! Figures over runs, and how far one lies before another.

use serde::{Deserialize, Serialize};

/// A lead below this is rounding.
const ROUNDING: f64 = 1e-12;

/// A figure over the runs that measured it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation of one run (of a sample: M−1 in the denominator); 0 where there was one run only.
    pub standard_deviation: f64,
    /// Standard error of the mean: the standard deviation over √M.
    pub standard_error: f64,
}

impl Statistic {
    /// Of one value per run; `None` without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return None;
        }
        let runs = values.len() as f64;
        let mean = values.iter().sum::<f64>() / runs;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = if values.len() > 1 { (squares / (runs - 1.0)).sqrt() } else { 0.0 };
        Some(Self { mean, standard_deviation, standard_error: standard_deviation / runs.sqrt() })
    }
}

/// How far one candidate lies before another, run by run: every run measures all candidates on the same
/// samples, so what the samples do to both cancels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Mean of the differences over the runs.
    pub mean: f64,
    /// Standard error of that mean.
    pub standard_error: f64,
    /// Whether the lead is larger than its standard error (and than rounding). Never with one run, which says
    /// nothing of the error.
    pub exceeds_error: bool,
}

impl Lead {
    /// Of `first` before `second`, one value per run each, in the same order; `None` without any, or if they
    /// differ in number.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        if first.len() != second.len() {
            return None;
        }
        let lead = Statistic::of(first.iter().zip(second).map(|(a, b)| a - b))?;
        Some(Self {
            mean: lead.mean,
            standard_error: lead.standard_error,
            exceeds_error: first.len() > 1 && lead.mean > lead.standard_error.max(ROUNDING),
        })
    }
}

/// 2ab/(a+b), and 0 if either is not positive.
pub fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a > 0.0 && b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let figure = Statistic::of([1.0, 2.0, 3.0, 6.0]).unwrap();
        assert_eq!(figure.mean, 3.0);
        assert!((figure.standard_deviation - (14.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((figure.standard_error - (14.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-15);
        assert_eq!(Statistic::of([]), None);
        let one = Statistic::of([0.25]).unwrap();
        assert_eq!((one.mean, one.standard_deviation, one.standard_error), (0.25, 0.0, 0.0));
    }

    #[test]
    fn a_lead_is_paired() {
        // The runs scatter widely, the difference hardly.
        let lead = Lead::of(&[0.11, 0.52, 0.91], &[0.10, 0.50, 0.90]).unwrap();
        assert!((lead.mean - 0.04 / 3.0).abs() < 1e-12);
        assert!(lead.standard_error < 0.004 && lead.exceeds_error);
        let none = Lead::of(&[0.1, 0.5, 0.9], &[0.2, 0.4, 0.9]).unwrap();
        assert!(!none.exceeds_error);
        assert!(!Lead::of(&[1.0], &[0.0]).unwrap().exceeds_error);
        // Equal but for rounding.
        assert!(!Lead::of(&[0.1 + 0.2, 0.1 + 0.2], &[0.3, 0.3]).unwrap().exceeds_error);
        assert_eq!(Lead::of(&[1.0], &[]), None);
    }

    #[test]
    fn harmonic_means() {
        assert_eq!(harmonic_mean(0.25, 0.25), 0.25);
        assert!((harmonic_mean(0.1, 0.3) - 0.15).abs() < 1e-15);
        assert_eq!(harmonic_mean(-0.1, 0.3), 0.0);
        assert_eq!(harmonic_mean(0.1, 0.0), 0.0);
    }
}
