//! Figures of an integration, in no library's form.

pub(crate) use crate::metrics::MetricKind;

/// A metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricFamily {
    /// Its name, `reasonedit_…`.
    pub(crate) name: String,
    pub(crate) kind: MetricKind,
    /// What it means.
    pub(crate) help: &'static str,
    /// Values with the label that tells them apart.
    pub(crate) samples: Vec<Sample>,
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Names and values of its labels.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}
