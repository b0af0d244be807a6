//! The query of a request.

use super::refusal::Refusal;

/// The query parameters that the endpoints use.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) digest: Option<String>,
    pub(super) mount: Option<String>,
    pub(super) from: Option<String>,
    pub(super) n: Option<String>,
    pub(super) last: Option<String>,
    pub(super) artifact_type: Option<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let place = match &*name {
                "digest" => &mut query.digest,
                "mount" => &mut query.mount,
                "from" => &mut query.from,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Refusal::bad("UNSUPPORTED", format!("the request has the parameter {name} twice")));
            }
        }
        Ok(query)
    }
}
