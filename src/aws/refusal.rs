//! Recognises errors of Amazon ECR, and gives a hint for each.
//!
//! The registry's API reports an error as a status, a code and a message. An engine that pushes reports only a message
//! with parts of them. The known texts come from real reports. If a message is unknown, the request decides.

use super::action::EcrAction;
use super::host::EcrHost;
use super::place::EcrPlace;
use crate::oci::refusal::is_of_expired_token;
use crate::oci::{Digest, RegistryHost, RepositoryPath};

/// The most digests in a hint.
const MOST_DIGESTS: usize = 3;

/// The known parts of an error answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct EcrAnswer<'a> {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The code of the specification, such as `DENIED`.
    pub code: &'a str,
    /// The message for people.
    pub message: &'a str,
    /// The action of the request.
    pub asked: Option<EcrAction>,
}

/// The error that ECR reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EcrRefusal {
    /// The repository does not exist.
    RepositoryMissing {
        /// The name, if the message contains it.
        name: Option<RepositoryPath>,
    },
    /// ECR closed the connection at the start of an upload. The repository does not exist, or a permission is missing.
    HungUp,
    /// The role lacks a permission.
    NotAllowed {
        /// The action, such as `ecr:PutImage`. If ECR names none, it is the action that the request needs.
        action: String,
        /// The policy that refuses the action.
        policy: Policy,
    },
    /// The login is too old.
    LoginExpired,
    /// The login is not valid, or it is for another registry.
    LoginRefused,
    /// The tag exists, and it may not move.
    TagImmutable,
    /// ECR refused the manifest without a reason. The tag may be immutable.
    ManifestRefused,
    /// ECR reports a valid manifest as invalid JSON.
    ManifestSyntax,
    /// An index lists images that do not exist.
    ImagesMissing(Vec<Digest>),
    /// An image lists layers that do not exist.
    LayersMissing(Vec<Digest>),
    /// An index lists the image that should be deleted.
    Referenced(Vec<Digest>),
    /// The image has the highest number of tags, or the repository has the highest number of images.
    Full,
    /// There were too many requests.
    TooOften,
}

/// The policy that refuses an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The policy of the role does not allow it.
    Identity,
    /// The policy of the repository does not allow it to another account.
    Repository,
    /// A policy explicitly denies it.
    Deny,
    /// ECR does not name the policy.
    Unsaid,
}

impl EcrRefusal {
    /// The error in `answer`. `None`: polyarch does not know this answer.
    #[must_use]
    pub fn read(answer: EcrAnswer<'_>) -> Option<Self> {
        Self::said(answer.message).or_else(|| Self::unsaid(answer.status?, answer.code, answer.asked))
    }

    /// The error in an engine's message, which contains the text of ECR or a text of the engine.
    #[must_use]
    pub fn read_pushed(message: &str) -> Option<Self> {
        Self::said(message).or_else(|| {
            let (asked, status) = bare(message)?;
            match (status, asked) {
                // For its first request, an engine hides a 404. For later requests it reports this.
                (404, Some(EcrAction::InitiateLayerUpload)) => Some(Self::RepositoryMissing { name: None }),
                (400, Some(EcrAction::PutImage)) => Some(Self::ManifestRefused),
                (405, Some(EcrAction::PutImage)) => Some(Self::ManifestSyntax),
                _ => Self::unsaid(status, "", asked),
            }
        })
    }

    /// Recognises the error by its text.
    fn said(text: &str) -> Option<Self> {
        let has = |words: &str| text.contains(words);
        if is_of_expired_token(text) {
            return Some(Self::LoginExpired);
        }
        // cloud-platform#7245, amazon-ecr-login#232
        if let Some(action) = between(text, "is not authorized to perform: ", " ") {
            return Some(Self::NotAllowed { action: action.to_owned(), policy: Policy::read(text) });
        }
        // containers-roadmap#2380, buildkit#3776, kaniko#204 (the tag, not the repository)
        if has("cannot be overwritten because the") && has("immutable") {
            return Some(Self::TagImmutable);
        }
        // cht-core#11099, docs of semaphoreci#404; with status 403 (containers-roadmap#2159)
        if has("exceeds the maximum allowed number of") || has("has the maximum allowed number of") {
            return Some(Self::Full);
        }
        if has("required for pushing image into repository") {
            let digests = digests(text);
            let is_of_layers = has("Layers with digest");
            return Some(if is_of_layers { Self::LayersMissing(digests) } else { Self::ImagesMissing(digests) });
        }
        // API_PutImage, ReferencedImagesNotFoundException
        if has("referencing an image that does not exist") {
            return Some(Self::ImagesMissing(digests(text)));
        }
        // build-push-action#599
        if let Some(name) = between(text, "The repository with name '", "' does not exist") {
            return Some(Self::RepositoryMissing { name: name.parse().ok() });
        }
        // containers/image#584, containers-roadmap#2439, #2783
        if has("'Invalid JSON syntax'") {
            return Some(Self::ManifestSyntax);
        }
        // containerd#10447
        if has("Rate exceeded") {
            return Some(Self::TooOften);
        }
        // API_BatchDeleteImage, containers-roadmap#1567
        if has("ImageReferencedByManifestList") || has("referenced by manifest list") {
            return Some(Self::Referenced(digests(text)));
        }
        // containers-roadmap#1970, build-push-action#1017: Engine 20.10 reports only this, and 28.5 also names the
        // request.
        if text == "EOF" || text.ends_with("/blobs/uploads/\": EOF") {
            return Some(Self::HungUp);
        }
        let refuses_login = has("no basic auth credentials") || has("unauthorized: authentication required");
        refuses_login.then_some(Self::LoginRefused)
    }

    /// Recognises the error by the request, if ECR sends no known text.
    fn unsaid(status: u16, code: &str, asked: Option<EcrAction>) -> Option<Self> {
        match (status, asked) {
            (401, _) => Some(Self::LoginRefused),
            (403, Some(action)) => Some(Self::NotAllowed { action: action.to_string(), policy: Policy::Unsaid }),
            (404, _) if code == "NAME_UNKNOWN" => Some(Self::RepositoryMissing { name: None }),
            (429, _) => Some(Self::TooOften),
            _ => None,
        }
    }

    /// Whether a new login may help. ECR does not always distinguish a bad login from a missing permission.
    #[must_use]
    pub fn may_be_login(&self) -> bool {
        matches!(self, Self::LoginExpired | Self::LoginRefused | Self::NotAllowed { policy: Policy::Unsaid, .. })
    }

    /// The next step in one line, for a request about `repository` in the registry `host`.
    #[must_use]
    pub fn hint(&self, host: &RegistryHost, repository: Option<&RepositoryPath>) -> String {
        let at = EcrHost::of(host);
        match self {
            Self::RepositoryMissing { name } => missing(at.as_ref(), name.as_ref().or(repository)),
            Self::HungUp => {
                let hint = missing(at.as_ref(), repository);
                format!(
                    "{hint}; if the repository exists, allow {} in the role's policy",
                    EcrAction::InitiateLayerUpload
                )
            }
            Self::NotAllowed { action, policy: Policy::Identity } => format!("allow {action} in the role's policy"),
            Self::NotAllowed { action, policy: Policy::Repository } => {
                format!(
                    "allow {action} in the policies of the role and of the repository, which belongs to \
                    another account"
                )
            }
            Self::NotAllowed { action, policy: Policy::Deny } => {
                format!(
                    "remove the explicit deny of {action} from the policies of the role, the repository and \
                    the organization; no policy can override a deny"
                )
            }
            Self::NotAllowed { action, policy: Policy::Unsaid } => {
                format!(
                    "allow {action} in the role's policy, and check that the login is for {host}; ECR gives \
                    no reason"
                )
            }
            Self::LoginExpired => format!(
                "log in again, and check this machine's clock: the login is older than 12 hours, or it is for \
                    another region or account than {host}"
            ),
            Self::LoginRefused => format!("{}, or give this job AWS credentials", log_in(host, at.as_ref())),
            Self::TagImmutable => "publish under another tag, because this tag is immutable".into(),
            Self::ManifestRefused => {
                "publish under another tag: ECR answers like this if the tag is immutable and has another image".into()
            }
            Self::ManifestSyntax => "check for three valid things that ECR refuses: no `mediaType` at the top \
                of the manifest, `platform.features` in an index, and some forms of `artifactType` or \
                `subject`; set `attestations: strip` to leave attestations out"
                .into(),
            Self::ImagesMissing(digests) => {
                let missing = listed("an image of the index", digests);
                format!("push the platforms again, and check your lifecycle policy: {missing} not in the repository")
            }
            Self::LayersMissing(digests) => {
                format!("push the image again: {} not in the repository", listed("a layer of the image", digests))
            }
            Self::Referenced(digests) if digests.is_empty() => "first delete the index that lists the image".into(),
            Self::Referenced(digests) => format!("first delete the index that lists the image: {}", names(digests)),
            Self::Full => "remove images or tags, add a lifecycle policy, or ask AWS for a higher quota".into(),
            Self::TooOften => "run this again in a minute with fewer jobs at once, or ask AWS for a higher \
                `Rate of PutImage requests`: ECR takes 10 manifests a second in an account and region"
                .into(),
        }
    }
}

impl Policy {
    fn read(text: &str) -> Self {
        if text.contains("explicit deny") {
            Self::Deny
        } else if text.contains("no resource-based policy allows") {
            Self::Repository
        } else {
            Self::Identity
        }
    }
}

/// The hint to create a missing repository.
fn missing(at: Option<&EcrHost>, repository: Option<&RepositoryPath>) -> String {
    let (place, name) = (EcrPlace::of(at), repository.map_or("NAME", RepositoryPath::as_str));
    let command = place.creating(repository);
    format!("create {name} in {place}: `{command}`, or set `ecr: {{ create: true }}` in the plan")
}

fn log_in(host: &RegistryHost, at: Option<&EcrHost>) -> String {
    let password = EcrPlace::of(at).password();
    format!("log in with `{password} | docker login --username AWS --password-stdin {host}`")
}

/// `sha256:… is`, `sha256:…, sha256:… are`.
fn listed(unnamed: &str, digests: &[Digest]) -> String {
    match digests {
        [] => format!("{unnamed} is"),
        [one] => format!("{one} is"),
        many => format!("{} are", names(many)),
    }
}

fn names(digests: &[Digest]) -> String {
    let shown: Vec<_> = digests.iter().take(MOST_DIGESTS).map(Digest::to_string).collect();
    let more = digests.len() - shown.len();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{rest}", shown.join(", "))
}

/// The request and the status in a message without details. An engine with the containerd image store reports:
/// `unexpected status from HEAD request to URL: 403 Forbidden`.
fn bare(message: &str) -> Option<(Option<EcrAction>, u16)> {
    // azure-devops#311: Engine 20.10 reports this for a HEAD request, which has no body.
    if let Some(status) = between(message, "error parsing HTTP ", " response body: unexpected end of JSON input") {
        return Some((Some(EcrAction::BatchCheckLayerAvailability), status.parse().ok()?));
    }
    let (_, rest) = message.split_once("unexpected status from ")?;
    let (method, rest) = rest.split_once(" request to ")?;
    let (url, rest) = rest.split_once(": ")?;
    Some((EcrAction::of(method, url), rest.split(' ').next()?.parse().ok()?))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(found, _)| found))
}

/// The digests in a text.
fn digests(text: &str) -> Vec<Digest> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

    /// The error that polyarch reads from a message of the API, and of both kinds of engines.
    fn refused(message: &str) -> EcrRefusal {
        let read = EcrRefusal::read(EcrAnswer { message, ..EcrAnswer::default() });
        for prefix in ["", "denied: ", "error from registry: ", "failed to push h/web: "] {
            assert_eq!(EcrRefusal::read_pushed(&format!("{prefix}{message}")), read, "{prefix}{message}");
        }
        read.unwrap_or_else(|| panic!("nobody knows: {message}"))
    }

    fn hint(refusal: &EcrRefusal) -> String {
        refusal.hint(&HOST.parse().unwrap(), Some(&"web".parse().unwrap()))
    }

    fn not_allowed(action: &str, policy: Policy) -> EcrRefusal {
        EcrRefusal::NotAllowed { action: action.to_owned(), policy }
    }

    #[test]
    fn ecr_messages_lead_to_hints() {
        let user = "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform:";
        let on = "on resource: arn:aws:ecr:us-east-1:123456789012:repository/web";
        let digests = || vec![A.parse().unwrap()];
        for (message, refusal, says) in [
            // build-push-action#599
            (
                "The repository with name 'org/web' does not exist in the registry with id '123456789012'".to_owned(),
                EcrRefusal::RepositoryMissing { name: Some("org/web".parse().unwrap()) },
                "create org/web in account 123456789012, region us-east-1: `aws ecr create-repository --repository-name \
                 org/web --region us-east-1`, or set `ecr: { create: true }` in the plan",
            ),
            // cloud-platform#7245
            (
                format!("{user} ecr:InitiateLayerUpload {on} because no identity-based policy allows the ecr:InitiateLayerUpload action"),
                not_allowed("ecr:InitiateLayerUpload", Policy::Identity),
                "allow ecr:InitiateLayerUpload in the role's policy",
            ),
            // celeba-spoof#9: an older message without a reason
            (
                format!("{user} ecr:PutImage {on}"),
                not_allowed("ecr:PutImage", Policy::Identity),
                "allow ecr:PutImage in the role's policy",
            ),
            // amazon-ecr-login#232
            (
                format!("{user} ecr:InitiateLayerUpload {on} because no resource-based policy allows the ecr:InitiateLayerUpload action"),
                not_allowed("ecr:InitiateLayerUpload", Policy::Repository),
                "another account",
            ),
            // IAM, "Troubleshoot access denied error messages"
            (
                format!("{user} ecr:PutImage {on} with an explicit deny in a service control policy"),
                not_allowed("ecr:PutImage", Policy::Deny),
                "remove the explicit deny of ecr:PutImage",
            ),
            // aws-cli#2351
            (
                "Your authorization token has expired. Reauthenticate and try again.".to_owned(),
                EcrRefusal::LoginExpired,
                "log in again",
            ),
            // containers-roadmap#2835
            ("Your Authorization Token is invalid.".to_owned(), EcrRefusal::LoginExpired, "log in again"),
            // containers-roadmap#2380, buildkit#3776
            (
                "The image tag '1.0' already exists in the 'web' repository and cannot be overwritten because the repository is immutable.".to_owned(),
                EcrRefusal::TagImmutable,
                "publish under another tag",
            ),
            // kaniko#204
            (
                "The image tag '1.0' already exists in the 'web' repository and cannot be overwritten because the tag is immutable.".to_owned(),
                EcrRefusal::TagImmutable,
                "publish under another tag",
            ),
            // containers/image#584, podman#1719, apko#450
            (
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'".to_owned(),
                EcrRefusal::ManifestSyntax,
                "no `mediaType` at the top of the manifest, `platform.features` in an index",
            ),
            (
                format!("Images with digests '[{A}]' required for pushing image into repository with name 'web' in the registry with id '123456789012' do not exist"),
                EcrRefusal::ImagesMissing(digests()),
                "push the platforms again, and check your lifecycle policy: sha256:aaaa",
            ),
            // Amazon ECR API, PutImage
            (
                "The manifest list is referencing an image that does not exist.".to_owned(),
                EcrRefusal::ImagesMissing(Vec::new()),
                "an image of the index is not in the repository",
            ),
            (
                format!("Layers with digests '[{A}]' required for pushing image into repository with name 'web' in the registry with id '123456789012' do not exist"),
                EcrRefusal::LayersMissing(digests()),
                "push the image again: sha256:aaaa",
            ),
            // containerd#10447, amazon-ecr-user-guide#11
            ("Rate exceeded".to_owned(), EcrRefusal::TooOften, "10 manifests a second"),
            // containers-roadmap#1567
            (
                format!("ImageReferencedByManifestList: Requested image referenced by manifest list: [{A}]"),
                EcrRefusal::Referenced(digests()),
                "first delete the index that lists the image: sha256:aaaa",
            ),
            // cht-core#11099
            (
                "Adding tag '5' to an image in the repository with name 'web' in registry with id '123456789012' exceeds the maximum allowed number of tags per image which is '1000'.".to_owned(),
                EcrRefusal::Full,
                "remove images or tags",
            ),
            // docs of semaphoreci#404
            (
                "The repository with name 'web' in registry with id '123456789012' already has the maximum allowed number of images which is '10000'".to_owned(),
                EcrRefusal::Full,
                "remove images or tags",
            ),
            // aws-cli#2842
            ("no basic auth credentials".to_owned(), EcrRefusal::LoginRefused, "--password-stdin 123456789012"),
        ] {
            assert_eq!(refused(&message), refusal, "{message}");
            assert!(hint(&refusal).contains(says), "{message}: {}", hint(&refusal));
        }
    }

    #[test]
    fn silent_ecr_refusal_is_explained_by_its_request() {
        use EcrAction::{BatchCheckLayerAvailability, BatchGetImage, InitiateLayerUpload, PutImage};
        for (status, asked) in [(403, BatchCheckLayerAvailability), (403, PutImage), (403, BatchGetImage)] {
            let answer = EcrAnswer { status: Some(status), asked: Some(asked), ..EcrAnswer::default() };
            let refusal = EcrRefusal::read(answer).unwrap();
            assert_eq!(refusal, not_allowed(&asked.to_string(), Policy::Unsaid));
            assert!(hint(&refusal).contains(&format!("allow {asked} in the role's policy")), "{}", hint(&refusal));
        }
        let unknown = EcrAnswer { status: Some(404), code: "NAME_UNKNOWN", ..EcrAnswer::default() };
        let missing = EcrRefusal::read(unknown).unwrap();
        assert!(hint(&missing).contains("--repository-name web --region us-east-1"), "{}", hint(&missing));
        for (status, code) in [(404, "MANIFEST_UNKNOWN"), (404, "BLOB_UNKNOWN"), (400, "MANIFEST_INVALID"), (500, "")] {
            let answer = EcrAnswer { status: Some(status), code, asked: Some(InitiateLayerUpload), message: "?" };
            assert_eq!(EcrRefusal::read(answer), None, "{code}");
        }
    }

    /// Messages that Engine 20.10 and 28.5 and BuildKit printed (buildx#1660, kafka-ui#583, containerd#10447).
    #[test]
    fn ecr_refusals_are_recognised_in_engine_messages() {
        let unsaid = |action: &str| not_allowed(action, Policy::Unsaid);
        let (blob, uploads, manifest) = ("blobs/sha256:0", "blobs/uploads/", "manifests/1.0");
        let status = |method: &str, path: &str, status: &str| {
            format!("unknown: unexpected status from {method} request to https://{HOST}/v2/web/{path}: {status}")
        };
        for (message, refusal) in [
            (status("HEAD", blob, "403 Forbidden"), unsaid("ecr:BatchCheckLayerAvailability")),
            (status("POST", uploads, "403 Forbidden"), unsaid("ecr:InitiateLayerUpload")),
            (status("PUT", manifest, "403 Forbidden"), unsaid("ecr:PutImage")),
            (status("HEAD", blob, "401 Unauthorized"), EcrRefusal::LoginRefused),
            (status("POST", uploads, "404 Not Found"), EcrRefusal::RepositoryMissing { name: None }),
            (status("PUT", manifest, "400 Bad Request"), EcrRefusal::ManifestRefused),
            (status("PUT", manifest, "405 Method Not Allowed"), EcrRefusal::ManifestSyntax),
            (status("PUT", manifest, "429 Too Many Requests"), EcrRefusal::TooOften),
            // azure-devops#311
            (
                "error parsing HTTP 403 response body: unexpected end of JSON input: \"\"".to_owned(),
                unsaid("ecr:BatchCheckLayerAvailability"),
            ),
            ("unauthorized: authentication required".to_owned(), EcrRefusal::LoginRefused),
            // containers-roadmap#1970
            ("EOF".to_owned(), EcrRefusal::HungUp),
            (format!("failed to do request: Post \"https://{HOST}/v2/web/{uploads}\": EOF"), EcrRefusal::HungUp),
        ] {
            assert_eq!(EcrRefusal::read_pushed(&message), Some(refusal), "{message}");
        }
        assert!(
            hint(&EcrRefusal::HungUp)
                .contains("if the repository exists, allow ecr:InitiateLayerUpload in the role's policy")
        );
        for message in ["", "dial tcp: connection refused", "unexpected status from", "failed to do request: Head: EOF"]
        {
            assert_eq!(EcrRefusal::read_pushed(message), None, "{message}");
        }
    }

    #[test]
    fn public_ecr_and_renamed_hosts_get_their_own_hints() {
        let missing = EcrRefusal::RepositoryMissing { name: None };
        let gallery = missing.hint(&"public.ecr.aws".parse().unwrap(), Some(&"acme/web".parse().unwrap()));
        let command = "aws ecr-public create-repository --repository-name web --region us-east-1";
        assert!(gallery.contains(command), "{gallery}");
        let other = missing.hint(&"registry.example".parse().unwrap(), Some(&"web".parse().unwrap()));
        assert!(other.contains("aws ecr create-repository --repository-name web --region REGION`"), "{other}");
    }
}
