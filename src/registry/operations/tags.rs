//! The tags of a repository (OCI distribution-spec, "Listing Tags").

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

use crate::oci::{RepositoryPath, Tag, null};
use crate::registry::client::Client;
use crate::registry::error::{ErrorKind, RegistryError};
use crate::registry::login::scope::Scope;
use crate::registry::request::http::Call;
use crate::registry::request::retry::Patience;
use crate::registry::transport::wire::Read;

/// The tags that polyarch requests for a page. ECR accepts no larger number.
const PAGE: usize = 1000;
/// The most pages.
const MOST_PAGES: usize = 1000;
/// The longest page that polyarch reads, in bytes. Registries without pages send all tags at once.
const MAX_PAGE: usize = 4 << 20;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "null::list")]
    tags: Vec<String>,
}

impl Client {
    /// The tags of a repository, sorted, from all pages. Texts that are not valid tags are left out, because polyarch
    /// could not use them.
    ///
    /// # Errors
    /// There are more than `most` tags, or more than fit on 1,000 pages ([`ErrorKind::TooManyTags`]). Or the repository
    /// does not exist ([`RegistryError::is_not_found`]). Or the registry does not list tags, or not for this login.
    pub async fn list_tags(&self, repository: &RepositoryPath, most: usize) -> Result<BTreeSet<Tag>, RegistryError> {
        let (mut tags, mut pages) = (BTreeSet::new(), 0);
        let mut query = Some(format!("n={PAGE}"));
        while let Some(asked) = query {
            pages += 1;
            let reply = self.0.send(&call(repository, &asked)).await?;
            let fail = |kind| RegistryError::new(self.host(), reply.request.as_str(), kind);
            let page: Option<Page> = serde_json::from_slice(&reply.body).map_err(|_| fail(ErrorKind::Tags))?;
            let before = tags.len();
            tags.extend(page.into_iter().flat_map(|page| page.tags).filter_map(|tag| tag.parse::<Tag>().ok()));
            // After a page with nothing new, the next pages would bring nothing new either.
            query = next(&reply.headers).filter(|_| tags.len() > before);
            if tags.len() > most || (query.is_some() && pages == MOST_PAGES) {
                return Err(fail(ErrorKind::TooManyTags { limit: most.min(tags.len()) }));
            }
        }
        Ok(tags)
    }
}

fn call(repository: &RepositoryPath, query: &str) -> Call {
    Call {
        method: Method::GET,
        path: format!("{repository}/tags/list?{query}"),
        scope: Some(Scope::pull(repository)),
        accept: None,
        range: None,
        content: None,
        read: Read::Whole(MAX_PAGE),
        patience: Patience::None,
    }
}

/// The query for the next page: from `<…?QUERY>; rel="next"` (RFC 8288). polyarch takes only the query from this link
/// and uses its own address. So the link cannot lead polyarch to another server.
fn next(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(", "));
    let target = |link: &str| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
        let (_, query) = target.split_once('?').filter(|_| is_next)?;
        Some(query.split('#').next().unwrap_or_default().to_owned())
    };
    links.into_iter().find_map(target)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn next_page_of_tags_is_requested_from_the_registry_itself() {
        for (link, query) in [
            ("</v2/a/tags/list?n=1000&last=x>; rel=\"next\"", Some("n=1000&last=x")),
            ("<https://elsewhere.example/v2/b/tags/list?last=x&n=2#y>; rel=next", Some("last=x&n=2")),
            ("</p?a=1>; rel=\"prev\", </n?b=2>; title=x; rel=\"next\"", Some("b=2")),
            ("</v2/a/tags/list?last=x>; rel=\"prev\"", None),
            ("</v2/a/tags/list>; rel=\"next\"", None),
            ("/v2/a/tags/list?last=x; rel=\"next\"", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
            assert_eq!(next(&headers).as_deref(), query, "{link:?}");
        }
    }
}
