//! The control plane: ECR's API (JSON 1.1), STS's for who asks, and the layers that the data plane leads to.

use serde_json::{Value, json};

use super::super::scripted_registry::{Reply, Request, status};
use super::Action;
use super::account::Account;
use super::refusal::Refusal;
use super::repository::{ImageId, Mutability, Place, Repository};

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.";
/// Images that one request can name.
const MOST_IMAGES: usize = 100;

/// `None` to what AWS does not have, and to a login that came along to where layers are.
pub(super) fn answer(account: &mut Account, request: &Request) -> Option<Reply> {
    if let Some(layer) = request.target.strip_prefix("/layers/") {
        return layer_of(account, request, layer);
    }
    let action = match request.header("x-amz-target") {
        Some(target) => Action::named(target.strip_prefix(TARGET)?)?,
        None if String::from_utf8_lossy(&request.body).contains("Action=GetCallerIdentity") => {
            Action::GetCallerIdentity
        }
        None => return None,
    };
    account.counted(action);
    if let Some(reply) = (account.hook)(action, request) {
        return Some(reply);
    }
    let done = signed(account, action, request).and_then(|()| {
        if let Some((exception, message)) = account.failing.get(&action) {
            return Err(Refusal::new(exception, 400, "DENIED", message.as_str()));
        }
        let input = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let resource = input["repositoryName"].as_str().map_or_else(|| "*".to_owned(), |name| account.arn(name));
        account.begin(action, &resource)?;
        run(account, action, &input)
    });
    Some(match done {
        Ok(_) if action == Action::GetCallerIdentity => caller(account),
        Ok(output) => status(200).header("Content-Type", "application/x-amz-json-1.1").body(output.to_string()),
        Err(refusal) => refusal.of_api(),
    })
}

/// A signature of the region; whose it is is not looked at.
fn signed(account: &Account, action: Action, request: &Request) -> Result<(), Refusal> {
    let refused = |exception, message: &str| Err(Refusal::new(exception, 403, "DENIED", message));
    let scope = request.header("authorization").and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 Credential="));
    let Some(scope) = scope.and_then(|scope| scope.split(',').next()) else {
        return refused("MissingAuthenticationTokenException", "Missing Authentication Token");
    };
    let is_ours = scope.split('/').nth(2).is_some_and(|region| region == account.region);
    if is_ours || action == Action::GetCallerIdentity {
        return Ok(());
    }
    refused("InvalidSignatureException", "Credential should be scoped to a valid region. ")
}

fn run(account: &mut Account, action: Action, input: &Value) -> Result<Value, Refusal> {
    match action {
        Action::GetAuthorizationToken => {
            let (token, expires) = account.issue();
            let endpoint = account.proxy_endpoint.clone().unwrap_or_else(|| format!("https://{}", account.host()));
            let data = json!({ "authorizationToken": token, "expiresAt": expires, "proxyEndpoint": endpoint });
            Ok(json!({ "authorizationData": [data] }))
        }
        Action::DescribeRepositories => describe_repositories(account, input),
        Action::CreateRepository => create_repository(account, input),
        Action::DescribeRepositoryCreationTemplates => {
            let wanted = |template: &&Value| {
                let prefixes = input["prefixes"].as_array();
                prefixes.is_none_or(|prefixes| prefixes.contains(&template["prefix"]))
            };
            let templates: Vec<_> = account.templates.iter().filter(wanted).cloned().collect();
            Ok(json!({ "registryId": account.id, "repositoryCreationTemplates": templates }))
        }
        Action::PutLifecyclePolicy => {
            let (name, text) = (name(input), input["lifecyclePolicyText"].as_str().unwrap_or_default());
            account.repository(name)?.lifecycle = Some(text.to_owned());
            Ok(json!({ "registryId": account.id, "repositoryName": name, "lifecyclePolicyText": text }))
        }
        Action::TagResource => {
            let arn = input["resourceArn"].as_str().unwrap_or_default();
            let name = arn.split_once(":repository/").map_or("", |(_, name)| name);
            account.repository(name)?.resource_tags = input["tags"].clone();
            Ok(json!({}))
        }
        Action::DescribeImages => describe_images(account, input),
        Action::ListImages => list_images(account, input),
        Action::BatchGetImage => batch_get(account, input),
        Action::BatchDeleteImage => batch_delete(account, input),
        Action::GetCallerIdentity => Ok(Value::Null),
        _ => Err(Refusal::new("UnknownOperationException", 400, "UNSUPPORTED", "only over /v2/ here")),
    }
}

fn name(input: &Value) -> &str {
    input["repositoryName"].as_str().unwrap_or_default()
}

fn describe_repositories(account: &Account, input: &Value) -> Result<Value, Refusal> {
    let found = match input["repositoryNames"].as_array() {
        Some(names) => {
            let find = |name: &Value| {
                let name = name.as_str().unwrap_or_default();
                let found = account.repositories.get_key_value(name);
                found.ok_or_else(|| Refusal::repository_missing(name, &account.id))
            };
            names.iter().map(find).collect::<Result<Vec<_>, _>>()?
        }
        None => account.repositories.iter().collect(),
    };
    let all = found.into_iter().map(|(name, repository)| account.describe(name, repository)).collect();
    Ok(page(account, input, "repositories", all))
}

fn create_repository(account: &mut Account, input: &Value) -> Result<Value, Refusal> {
    let name = name(input);
    if let Some(mutability) = account.races.remove(name) {
        account.add(name, mutability);
    }
    if account.repositories.contains_key(name) {
        let message =
            format!("The repository with name '{name}' already exists in the registry with id '{}'", account.id);
        return Err(Refusal::new("RepositoryAlreadyExistsException", 400, "NAME_INVALID", message));
    }
    let mutability = Mutability::parse(input);
    if matches!(&mutability, Mutability::ImmutableExcept(filters) | Mutability::MutableExcept(filters) if filters.is_empty())
    {
        let message = "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: \
                       'ImageTagMutabilityExclusionFilters can't be null'";
        return Err(Refusal::new("InvalidParameterException", 400, "NAME_INVALID", message));
    }
    let mut repository = Repository::new(mutability);
    for key in ["imageScanningConfiguration", "encryptionConfiguration"] {
        if !input[key].is_null() {
            repository.settings[key] = input[key].clone();
        }
    }
    if let Some(tags) = input["tags"].as_array().filter(|tags| !tags.is_empty()) {
        // Who creates with tags needs both actions (Amazon ECR, "Using tag-based access control").
        account.begin(Action::TagResource, name)?;
        repository.resource_tags = tags.clone().into();
    }
    let described = account.describe(name, &repository);
    account.repositories.insert(name.to_owned(), repository);
    Ok(json!({ "repository": described }))
}

/// A page of `all` under `key`, as `nextToken` and `maxResults` ask for it.
fn page(account: &Account, input: &Value, key: &str, all: Vec<Value>) -> Value {
    let begin = input["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let asked = input["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok());
    let size = asked.unwrap_or(account.page).min(account.page);
    let count = all.len();
    let mut page = json!({ key: all.into_iter().skip(begin).take(size).collect::<Vec<_>>() });
    if begin + size < count {
        page["nextToken"] = (begin + size).to_string().into();
    }
    page
}

fn ids(input: &Value) -> Result<Vec<ImageId>, Refusal> {
    let ids: Vec<_> = input["imageIds"].as_array().into_iter().flatten().map(ImageId::parse).collect();
    if ids.len() > MOST_IMAGES {
        let message = "Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length less than or \
                       equal to 100'";
        return Err(Refusal::new("InvalidParameterException", 400, "UNSUPPORTED", message));
    }
    Ok(ids)
}

fn describe_images(account: &mut Account, input: &Value) -> Result<Value, Refusal> {
    let (id, name) = (account.id.clone(), name(input));
    let place = Place { account: &id, name };
    let repository = account.repository(name)?;
    let named = ids(input)?;
    let find = |id: &ImageId| {
        let message = format!("The image with imageId {} does not exist within the repository '{name}'", id.json());
        repository.find(id).map_err(|_| Refusal::new("ImageNotFoundException", 404, "MANIFEST_UNKNOWN", message))
    };
    let digests = match named.as_slice() {
        [] => repository.digests(),
        named => named.iter().map(find).collect::<Result<_, _>>()?,
    };
    let all: Vec<_> = digests.iter().map(|digest| repository.describe(place, digest)).collect();
    let wanted = |image: &Value| match input["filter"]["tagStatus"].as_str() {
        Some("TAGGED") => image["imageTags"].is_array(),
        Some("UNTAGGED") => image["imageTags"].is_null(),
        _ => true,
    };
    let all = all.into_iter().filter(wanted).collect();
    Ok(page(account, input, "imageDetails", all))
}

fn list_images(account: &mut Account, input: &Value) -> Result<Value, Refusal> {
    let place = Place { account: "", name: name(input) };
    let repository = account.repository(place.name)?;
    let ids = repository.digests().into_iter().flat_map(|digest| {
        let described = repository.describe(place, &digest);
        let tags = described["imageTags"].as_array().cloned().unwrap_or_else(|| vec![Value::Null]);
        let id =
            move |tag: Value| ImageId { digest: Some(digest.clone()), tag: tag.as_str().map(str::to_owned) }.json();
        tags.into_iter().map(id).collect::<Vec<_>>()
    });
    let ids = ids.collect();
    Ok(page(account, input, "imageIds", ids))
}

fn failure(id: &ImageId, (code, reason): (&str, &str)) -> Value {
    json!({ "imageId": id.json(), "failureCode": code, "failureReason": reason })
}

fn batch_get(account: &mut Account, input: &Value) -> Result<Value, Refusal> {
    let (registry, name) = (account.id.clone(), name(input));
    let repository = account.repository(name)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in ids(input)? {
        match repository.find(&id) {
            Ok(digest) => {
                let document = repository.get(&digest).expect("it was found");
                let full = ImageId { digest: Some(digest), tag: id.tag };
                images.push(json!({
                    "registryId": registry,
                    "repositoryName": name,
                    "imageId": full.json(),
                    "imageManifest": String::from_utf8_lossy(&document.bytes),
                    "imageManifestMediaType": document.media_type,
                }));
            }
            Err(why) => failures.push(failure(&id, why)),
        }
    }
    Ok(json!({ "images": images, "failures": failures }))
}

fn batch_delete(account: &mut Account, input: &Value) -> Result<Value, Refusal> {
    let repository = account.repository(name(input))?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in ids(input)? {
        match repository.delete(&id) {
            Ok(gone) => deleted.extend(gone.iter().map(ImageId::json)),
            Err(why) => failures.push(failure(&id, why)),
        }
    }
    Ok(json!({ "imageIds": deleted, "failures": failures }))
}

fn caller(account: &Account) -> Reply {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{0}:assumed-role/ci/polyarch</Arn><UserId>AROAEXAMPLE:polyarch</UserId><Account>{0}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
        account.id
    );
    status(200).header("Content-Type", "text/xml").body(body)
}

/// `REPOSITORY/DIGEST?…`, for whoever has the signed address, and for nobody who sends a login along.
fn layer_of(account: &Account, request: &Request, layer: &str) -> Option<Reply> {
    let (repository, digest) = layer.split('?').next()?.rsplit_once('/')?;
    if request.header("authorization").is_some() || !layer.ends_with("?X-Amz-Signature=ours") {
        return None;
    }
    let bytes = account.repositories.get(repository)?.blob(digest)?;
    Some(super::super::store::part(bytes, request.header("range")))
}
