//! The meaning of the status that ended a call of BuildKit.

use tonic::Status;

use super::error::BuildKitError;
use super::excerpt::excerpt;
use super::fault::{BuildCause, BuildFault};
use super::request::{BuildRequest, Output, Worker, exported_to};
use super::session::Session;
use super::status::{NotStarted, Steps};
use crate::oci::TagRef;
use crate::text::innermost;

/// The meaning of the status that ended Solve.
pub(super) fn failure_of(
    status: &Status,
    session: &Session,
    steps: &Steps,
    (worker, request): (&Worker, &BuildRequest<'_>),
) -> BuildKitError {
    // BuildKit repeats the text of polyarch's own error. polyarch's value also has a hint.
    let is_why = |text: String| status.message().contains(&text);
    let context_error = request.sessions(session).find_map(Session::context_error);
    if let Some(error) = context_error.filter(|error| is_why(error.to_string())) {
        return BuildKitError::Context(error);
    }
    if let Some(error) = session.auth_error().filter(|error| is_why(error.to_string())) {
        return BuildKitError::Credentials(error);
    }
    // A status from the engine has no source. A status that tonic made of a broken connection has one.
    if let Some(source) = std::error::Error::source(status) {
        return BuildKitError::Lost(innermost(source));
    }
    if let Some(to) = exported_to(request).filter(|_| steps.failed_to_export_cache()) {
        return BuildKitError::CacheExport { to, message: plain(status.message()) };
    }
    if let Output::Engine(names) = request.to
        && is_of_another_naming(status.message(), &names.shared)
    {
        return BuildKitError::NameTaken(names.shared.clone());
    }
    if let Some(message) = unpushed(status.message()) {
        return BuildKitError::Push(message);
    }
    let at = excerpt(status.details(), session.added_lines());
    let fault = BuildFault::of(session.in_lines_of_the_file(plain(status.message())), steps.failed(), at);
    let said = status.message().contains("exec format error").then_some(NotStarted::Format);
    let platform = request.platform.clone();
    let cause = match said.or(steps.not_started()) {
        Some(NotStarted::Format) if worker.platform.runs(&platform) => BuildCause::NotAProgram(platform),
        Some(NotStarted::Format) => BuildCause::NotEmulated(platform),
        // One step may print such a message and continue, while another step fails for a different reason.
        Some(NotStarted::Interpreter) if fault.cause == BuildCause::Other => BuildCause::NoInterpreter,
        Some(NotStarted::Interpreter) | None => fault.cause,
    };
    BuildKitError::Build(Box::new(BuildFault { cause, ..fault }))
}

/// Whether containerd reports that another build created the name between BuildKit's two steps of naming an image.
/// BuildKit first tries to update the name, and creates it if it does not exist (`exporter/containerimage`).
fn is_of_another_naming(message: &str, name: &TagRef) -> bool {
    plain(message) == format!("image {:?}: already exists", name.to_string())
}

/// BuildKit's message about a failed push (`exporter/containerimage`, `failed to push NAME`). Other failures of Solve
/// are failures of the build.
fn unpushed(message: &str) -> Option<String> {
    let message = plain(message);
    message.starts_with("failed to push ").then_some(message)
}

/// BuildKit's message without the prefixes of all messages.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("failed to solve: ").unwrap_or(message);
    let rpc = message.strip_prefix("rpc error: code = Unknown desc = ").unwrap_or(message);
    let said = rpc.strip_prefix("failed to solve with frontend dockerfile.v0: ").unwrap_or(rpc);
    said.strip_prefix("failed to create LLB definition: ").unwrap_or(said).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_conflict_is_recognised_only_for_the_own_name() {
        let name = "127.0.0.1:5000/hello:1.0-amd64";
        let reference: crate::oci::Reference = name.parse().unwrap();
        let name = TagRef { repository: reference.repository, tag: "1.0-amd64".parse().unwrap() };
        for (message, is) in [
            (r#"image "127.0.0.1:5000/hello:1.0-amd64": already exists"#, true),
            (r#"failed to solve: image "127.0.0.1:5000/hello:1.0-amd64": already exists"#, true),
            (r#"image "127.0.0.1:5000/hello:1.0-arm64": already exists"#, false),
            ("process \"/bin/sh -c mkdir /x\" did not complete: mkdir: /x: already exists", false),
        ] {
            assert_eq!(is_of_another_naming(message, &name), is, "{message}");
        }
    }
}
