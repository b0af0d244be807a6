//! The values of a resolved plan. Each value is explicit: names, defaults and overrides are resolved.

pub(super) mod cache_service;
pub(super) mod caution;
pub(super) mod compression;
pub(super) mod duration;
pub(super) mod ecr;
pub(super) mod endpoint;
pub(super) mod error;
pub(super) mod names;
pub(super) mod overrides;
pub(super) mod places;
pub(super) mod plan;
pub(super) mod remote;
pub(super) mod spec;
pub(super) mod view;
pub(super) mod yaml;
