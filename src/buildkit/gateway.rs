//! The part of BuildKit's gateway that asks a frontend a question (`frontend/gateway/pb/gateway.proto`, service
//! `LLBBridge`). bollard has no client for it.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::SolveRequest;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::client::BuildKit;
use super::grpc::MAX_MESSAGE;
use super::session::{Session, random_id};

/// The metadata key that assigns a call to a `Control.Solve` (BuildKit, `client/buildid`).
const BUILD: &str = "buildkit-controlapi-buildid";

#[derive(Clone, PartialEq, prost::Message)]
struct FrontendRequest {
    #[prost(string, tag = "2")]
    frontend: String,
    #[prost(map = "string, string", tag = "3")]
    frontend_opt: HashMap<String, String>,
    #[prost(bool, tag = "5")]
    allow_result_return: bool,
    #[prost(bool, tag = "6")]
    allow_result_array_ref: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FrontendResponse {
    #[prost(message, optional, tag = "3")]
    result: Option<FrontendResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FrontendResult {
    #[prost(map = "string, bytes", tag = "10")]
    metadata: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    result: Option<FrontendResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReturnResponse {}

impl BuildKit {
    /// Asks the Dockerfile frontend, and returns the metadata of its answer. BuildKit builds nothing.
    ///
    /// As in buildx, a question needs an open build without a frontend. After the answer polyarch returns an empty
    /// result to that build, which ends it.
    pub(super) async fn ask_frontend(
        &self,
        session: &Session,
        frontend_opt: HashMap<String, String>,
    ) -> Result<HashMap<String, Vec<u8>>, Status> {
        let id = random_id();
        let mut control = self.control();
        let build = SolveRequest { r#ref: id.clone(), session: session.id().to_owned(), ..SolveRequest::default() };
        let mut build = std::pin::pin!(control.solve(build));
        let asking = async {
            let frontend = "dockerfile.v0".to_owned();
            let question =
                FrontendRequest { frontend, frontend_opt, allow_result_return: true, allow_result_array_ref: true };
            let answer: FrontendResponse = self.call(&id, "Solve", question).await?;
            let nothing = ReturnRequest { result: Some(FrontendResult::default()) };
            self.call::<_, ReturnResponse>(&id, "Return", nothing).await?;
            Ok(answer.result.unwrap_or_default().metadata)
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            answer = &mut asking => {
                // A failed question leaves the build open. Dropping it ends it.
                if answer.is_ok() {
                    build.await?;
                }
                answer
            }
            // The build ends first only if it could not begin, or while the last answer is on its way.
            ended = &mut build => {
                ended?;
                asking.await
            }
        }
    }

    async fn call<Q, A>(&self, id: &str, method: &str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client: Grpc<Channel> = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let unusable = |_| Status::internal("a call could not be written");
        let path = format!("/moby.buildkit.v1.frontend.LLBBridge/{method}");
        let path = PathAndQuery::try_from(path).map_err(|error| Status::internal(error.to_string()))?;
        let mut request = Request::new(question);
        request.metadata_mut().insert(BUILD, id.parse().map_err(unusable)?);
        Ok(client.unary(request, path, ProstCodec::default()).await?.into_inner())
    }
}
