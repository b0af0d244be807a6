//! A context of several builds, as one source in one session. BuildKit asks for it once, even if several builds use it
//! (BuildKit, `solver/pb/ops.proto`, `SourceOp`; `SolveRequest.FrontendInputs`). buildx does the same for targets of a
//! bake file.

use std::collections::BTreeMap;

use bollard::moby::buildkit::v1::SolveRequest;
use prost::Message;

use crate::buildkit::session::Session;
use crate::oci::Digest;

/// The context of several builds.
#[derive(Debug, Clone, Copy)]
pub struct SharedContext<'a> {
    /// The session that serves the context. BuildKit before 0.9 asks any session of the builds that wait for it.
    pub session: &'a Session,
    /// The patterns of excluded files.
    pub excludes: &'a [String],
}

/// The frontend's name for the build context (BuildKit, `frontend/dockerui`).
const CONTEXT: &str = "context";

#[derive(Clone, PartialEq, Message)]
struct Op {
    #[prost(message, repeated, tag = "1")]
    inputs: Vec<Input>,
    #[prost(message, optional, tag = "3")]
    source: Option<SourceOp>,
}

#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, Message)]
struct SourceOp {
    #[prost(string, tag = "1")]
    identifier: String,
    /// The attributes, sorted. The same source then has the same bytes, and builds share it by the digest of these
    /// bytes.
    #[prost(btree_map = "string, string", tag = "2")]
    attrs: BTreeMap<String, String>,
}

impl SharedContext<'_> {
    /// Makes this the context of the build in `request`.
    pub(in crate::buildkit) fn add_to(&self, request: &mut SolveRequest) {
        let source = self.source().encode_to_vec();
        let digest = Digest::of(&source).to_string();
        let last = Op { inputs: vec![Input { digest: digest.clone() }], ..Op::default() }.encode_to_vec();
        let definition = request.frontend_inputs.entry(CONTEXT.to_owned()).or_default();
        definition.metadata.entry(digest).or_default();
        definition.metadata.entry(Digest::of(&last).to_string()).or_default();
        definition.def = vec![source, last];
    }

    fn source(&self) -> Op {
        let mut attrs = BTreeMap::from([
            ("local.session".to_owned(), self.session.id().to_owned()),
            ("local.sharedkeyhint".to_owned(), CONTEXT.to_owned()),
        ]);
        if !self.excludes.is_empty() {
            attrs.insert("local.excludepatterns".to_owned(), serde_json::json!(self.excludes).to_string());
        }
        Op { source: Some(SourceOp { identifier: format!("local://{CONTEXT}"), attrs }), ..Op::default() }
    }
}
