//! Refusals of registries that polyarch recognises by their texts.

mod expired_token;
mod immutable_tag;

pub(crate) use expired_token::is_of_expired_token;
pub(crate) use immutable_tag::is_of_immutable_tag;
