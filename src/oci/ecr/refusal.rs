//! What Amazon ECR says when it refuses, and what to do then.
//!
//! It is told by the registry's API, with a status, a code and a message; by an engine that pushes, with what is left of
//! that in one message. Only those texts are known that somebody has seen; where it says nothing, the request tells what
//! it is about.

use super::action::EcrAction;
use super::host::EcrHost;
use super::place::EcrPlace;
use crate::oci::spent::is_of_spent_token;
use crate::oci::{Digest, RegistryHost, RepositoryPath};

/// Most digests that a hint repeats.
const MOST_DIGESTS: usize = 3;

/// An answer that is no success, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct EcrAnswer<'a> {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The code of the specification: `DENIED`.
    pub code: &'a str,
    /// The text for people.
    pub message: &'a str,
    /// What was asked for.
    pub asked: Option<EcrAction>,
}

/// What ECR refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EcrRefusal {
    /// There is no such repository.
    RepositoryMissing {
        /// Its name, where the message has it.
        name: Option<RepositoryPath>,
    },
    /// It ended the connection where an upload was to begin: it does so where there is no such repository, or no
    /// permission.
    HungUp,
    /// The role may not do it.
    NotAllowed {
        /// What, as `ecr:PutImage`; without a word of ECR, what the request needs.
        action: String,
        /// Which policy is in the way.
        policy: Policy,
    },
    /// The login was given out too long ago.
    LoginExpired,
    /// The login is none, or that of another registry.
    LoginRefused,
    /// The tag is there, and may not move.
    TagImmutable,
    /// The tag is perhaps immutable: the manifest was refused, and nobody says why.
    ManifestRefused,
    /// It calls the manifest invalid JSON, which it is not.
    ManifestSyntax,
    /// An index refers to images that are not there.
    ImagesMissing(Vec<Digest>),
    /// An image refers to layers that are not there.
    LayersMissing(Vec<Digest>),
    /// An index refers to what was to be deleted.
    Referenced(Vec<Digest>),
    /// The image has as many tags as it may have, or the repository as many images.
    Full,
    /// Too much was asked of it.
    TooOften,
}

/// Which policy does not let somebody do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The role's own does not allow it.
    Identity,
    /// The repository's does not allow it to another account.
    Repository,
    /// One forbids it.
    Deny,
    /// It does not say.
    Unsaid,
}

impl EcrRefusal {
    /// What `answer` refuses; `None`: no words of ECR that we know.
    #[must_use]
    pub fn read(answer: EcrAnswer<'_>) -> Option<Self> {
        Self::said(answer.message).or_else(|| Self::unsaid(answer.status?, answer.code, answer.asked))
    }

    /// What an engine's message refuses, which has ECR's words in it or the engine's own.
    #[must_use]
    pub fn read_pushed(message: &str) -> Option<Self> {
        Self::said(message).or_else(|| {
            let (asked, status) = bare(message)?;
            match (status, asked) {
                // Of a 404 of its first request an engine says nothing, of later ones this.
                (404, Some(EcrAction::InitiateLayerUpload)) => Some(Self::RepositoryMissing { name: None }),
                (400, Some(EcrAction::PutImage)) => Some(Self::ManifestRefused),
                (405, Some(EcrAction::PutImage)) => Some(Self::ManifestSyntax),
                _ => Self::unsaid(status, "", asked),
            }
        })
    }

    /// By its words.
    fn said(text: &str) -> Option<Self> {
        let has = |words: &str| text.contains(words);
        if is_of_spent_token(text) {
            return Some(Self::LoginExpired);
        }
        // cloud-platform#7245, amazon-ecr-login#232
        if let Some(action) = between(text, "is not authorized to perform: ", " ") {
            return Some(Self::NotAllowed { action: action.to_owned(), policy: Policy::read(text) });
        }
        // containers-roadmap#2380, buildkit#3776, kaniko#204 (the tag, and not the repository)
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
        // containers-roadmap#1970, build-push-action#1017: of Engine 20.10 this is all, 28.5 says which request.
        if text == "EOF" || text.ends_with("/blobs/uploads/\": EOF") {
            return Some(Self::HungUp);
        }
        let refuses_login = has("no basic auth credentials") || has("unauthorized: authentication required");
        refuses_login.then_some(Self::LoginRefused)
    }

    /// By what the request was, where it has no words for it.
    fn unsaid(status: u16, code: &str, asked: Option<EcrAction>) -> Option<Self> {
        match (status, asked) {
            (401, _) => Some(Self::LoginRefused),
            (403, Some(action)) => Some(Self::NotAllowed { action: action.to_string(), policy: Policy::Unsaid }),
            (404, _) if code == "NAME_UNKNOWN" => Some(Self::RepositoryMissing { name: None }),
            (429, _) => Some(Self::TooOften),
            _ => None,
        }
    }

    /// Whether a new login may help: ECR does not always say whether it is the login or the permission.
    #[must_use]
    pub fn may_be_login(&self) -> bool {
        matches!(self, Self::LoginExpired | Self::LoginRefused | Self::NotAllowed { policy: Policy::Unsaid, .. })
    }

    /// What to do about it, in one line: in the registry `host`, where `repository` was asked for.
    #[must_use]
    pub fn hint(&self, host: &RegistryHost, repository: Option<&RepositoryPath>) -> String {
        let at = EcrHost::of(host);
        match self {
            Self::RepositoryMissing { name } => missing(at.as_ref(), name.as_ref().or(repository)),
            Self::HungUp => {
                let hint = missing(at.as_ref(), repository);
                format!("{hint}; if it is there, the role lacks {}", EcrAction::InitiateLayerUpload)
            }
            Self::NotAllowed { action, policy: Policy::Identity } => format!("allow {action} in the role's policy"),
            Self::NotAllowed { action, policy: Policy::Repository } => {
                format!("the repository is of another account: its policy and the role's must both allow {action}")
            }
            Self::NotAllowed { action, policy: Policy::Deny } => {
                format!("a policy of the role, the repository or the organization forbids {action}; none can allow it")
            }
            Self::NotAllowed { action, policy: Policy::Unsaid } => {
                format!("ECR does not say why: allow {action} in the role's policy, and see that the login is of {host}")
            }
            Self::LoginExpired => format!(
                "it is older than 12 hours, or of another region or account than {host}: log in again, and see that this \
                 machine's clock is right"
            ),
            Self::LoginRefused => format!("{}, or give this job AWS credentials", log_in(host, at.as_ref())),
            Self::TagImmutable => "the tag is immutable: publish this under another one".into(),
            Self::ManifestRefused => {
                "ECR says so if the tag is immutable and has another image: publish this under another one".into()
            }
            Self::ManifestSyntax => "ECR says so of three things that are valid: no `mediaType` at the top of the manifest, \
                                     `platform.features` in an index, `artifactType` or `subject` in a form that it does \
                                     not take; attestations are left out with `attestations: strip`"
                .into(),
            Self::ImagesMissing(digests) => {
                let missing = listed("what the index lists", digests);
                format!("{missing} not in the repository: push the platforms again, and see what a lifecycle policy removes")
            }
            Self::LayersMissing(digests) => {
                format!("{} not in the repository: push the image again", listed("a layer of the image", digests))
            }
            Self::Referenced(digests) if digests.is_empty() => "delete the index that lists it first".into(),
            Self::Referenced(digests) => format!("delete the index that lists it first: {}", names(digests)),
            Self::Full => {
                "remove images or tags, let a lifecycle policy do it, or ask AWS for a higher quota".into()
            }
            Self::TooOften => "ECR takes 10 manifests a second in an account and region: run this again in a minute, with \
                               fewer jobs at once, or ask AWS for more (`Rate of PutImage requests`)"
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

/// How a repository that is missing comes to be.
fn missing(at: Option<&EcrHost>, repository: Option<&RepositoryPath>) -> String {
    let (place, name) = (EcrPlace::of(at), repository.map_or("NAME", RepositoryPath::as_str));
    let command = place.creating(repository);
    format!("create {name} in {place}: `{command}`, or say `ecr: {{ create: true }}` in the plan")
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

/// The request that an engine with containerd's image store says nothing of but its status, and what it was for:
/// `unexpected status from HEAD request to URL: 403 Forbidden`.
fn bare(message: &str) -> Option<(Option<EcrAction>, u16)> {
    // azure-devops#311: Engine 20.10, of a HEAD, which has no body.
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

    /// What is refused by a message of the registry's API, and of both kinds of engines.
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
    fn what_ecr_says_leads_to_what_to_do() {
        let user = "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform:";
        let on = "on resource: arn:aws:ecr:us-east-1:123456789012:repository/web";
        let digests = || vec![A.parse().unwrap()];
        for (message, refusal, says) in [
            // build-push-action#599
            (
                "The repository with name 'org/web' does not exist in the registry with id '123456789012'".to_owned(),
                EcrRefusal::RepositoryMissing { name: Some("org/web".parse().unwrap()) },
                "create org/web in account 123456789012, region us-east-1: `aws ecr create-repository --repository-name \
                 org/web --region us-east-1`, or say `ecr: { create: true }` in the plan",
            ),
            // cloud-platform#7245
            (
                format!("{user} ecr:InitiateLayerUpload {on} because no identity-based policy allows the ecr:InitiateLayerUpload action"),
                not_allowed("ecr:InitiateLayerUpload", Policy::Identity),
                "allow ecr:InitiateLayerUpload in the role's policy",
            ),
            // celeba-spoof#9: older, without a reason
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
                "forbids ecr:PutImage",
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
                "under another one",
            ),
            // kaniko#204
            (
                "The image tag '1.0' already exists in the 'web' repository and cannot be overwritten because the tag is immutable.".to_owned(),
                EcrRefusal::TagImmutable,
                "under another one",
            ),
            // containers/image#584, podman#1719, apko#450
            (
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'".to_owned(),
                EcrRefusal::ManifestSyntax,
                "no `mediaType` at the top of the manifest, `platform.features` in an index, `artifactType` or `subject`",
            ),
            (
                format!("Images with digests '[{A}]' required for pushing image into repository with name 'web' in the registry with id '123456789012' do not exist"),
                EcrRefusal::ImagesMissing(digests()),
                "aaaa is not in the repository: push the platforms again",
            ),
            // Amazon ECR API, PutImage
            (
                "The manifest list is referencing an image that does not exist.".to_owned(),
                EcrRefusal::ImagesMissing(Vec::new()),
                "what the index lists is not in the repository",
            ),
            (
                format!("Layers with digests '[{A}]' required for pushing image into repository with name 'web' in the registry with id '123456789012' do not exist"),
                EcrRefusal::LayersMissing(digests()),
                "aaaa is not in the repository: push the image again",
            ),
            // containerd#10447, amazon-ecr-user-guide#11
            ("Rate exceeded".to_owned(), EcrRefusal::TooOften, "10 manifests a second"),
            // containers-roadmap#1567
            (
                format!("ImageReferencedByManifestList: Requested image referenced by manifest list: [{A}]"),
                EcrRefusal::Referenced(digests()),
                "delete the index that lists it first: sha256:aaaa",
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
    fn where_ecr_says_nothing_the_request_tells_what_the_role_lacks() {
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

    /// As Engine 20.10 and 28.5 were seen to say it, and BuildKit (buildx#1660, kafka-ui#583, containerd#10447).
    #[test]
    fn what_engines_make_of_it_is_read_all_the_same() {
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
        assert!(hint(&EcrRefusal::HungUp).contains("if it is there, the role lacks ecr:InitiateLayerUpload"));
        for message in ["", "dial tcp: connection refused", "unexpected status from", "failed to do request: Head: EOF"]
        {
            assert_eq!(EcrRefusal::read_pushed(message), None, "{message}");
        }
    }

    #[test]
    fn the_gallery_and_hosts_of_any_name_have_hints_of_their_own() {
        let missing = EcrRefusal::RepositoryMissing { name: None };
        let gallery = missing.hint(&"public.ecr.aws".parse().unwrap(), Some(&"acme/web".parse().unwrap()));
        let command = "aws ecr-public create-repository --repository-name web --region us-east-1";
        assert!(gallery.contains(command), "{gallery}");
        let other = missing.hint(&"registry.example".parse().unwrap(), Some(&"web".parse().unwrap()));
        assert!(other.contains("aws ecr create-repository --repository-name web`"), "{other}");
    }
}
