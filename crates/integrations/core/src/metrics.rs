//! Figures of an integration, in no library's form.

pub use reasonedit_http::metrics::MetricKind;

/// A metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// Its name, `reasonedit_…`.
    pub name: String,
    /// Whether it can go down.
    pub kind: MetricKind,
    /// What it means.
    pub help: &'static str,
    /// Values with the label that tells them apart.
    pub samples: Vec<MetricSample>,
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// What it is now.
    pub value: f64,
}
