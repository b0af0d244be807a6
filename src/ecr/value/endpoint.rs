//! The address of AWS's API.

use crate::aws::{AwsRegion, EcrEndpoint};

/// The address that calls go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ecr) enum Endpoint {
    /// The endpoint of a region.
    Region(AwsRegion, EcrEndpoint),
    /// The URL of a private endpoint, in a region.
    Url(AwsRegion, String),
    /// The endpoint of the public gallery.
    Gallery,
}
