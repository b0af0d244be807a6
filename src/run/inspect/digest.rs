//! Finds the digest that a reference names, with as few requests as possible.

use crate::oci::{Child, ChildError, Content, Descriptor, Digest, EntryOverride, Platform, Selector};
use crate::registry::Visibility;
use crate::run::fetch::confirm::choose;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::listing::Listing;
use crate::run::storage::Storage;
use crate::run::verify::VerifyError;

/// The digest that `selector` names. With a platform, the digest of the image of that platform. For a tag, polyarch
/// trusts the digest that the registry reports, as every client that pulls does. If the registry reports none,
/// polyarch fetches the bytes and hashes them.
///
/// # Errors
/// The registry does not return the content. Or the content has no image of the platform, or more than one.
pub async fn digest(
    storage: &Storage,
    selector: &Selector,
    platform: Option<&Platform>,
) -> Result<Digest, VerifyError> {
    if let Some(platform) = platform {
        return of_platform(storage, selector, platform).await.map_err(VerifyError::of_top);
    }
    let said = storage.head(selector).await?.flatten();
    let believed = said.filter(|said| !matches!(selector, Selector::Digest(asked) if asked != said));
    if let Some(digest) = believed {
        return Ok(digest);
    }
    let manifest = storage.manifest(selector, Visibility::Settled).await?;
    Ok(manifest.digest().clone())
}

/// The only image of `platform`, also in nested indexes. For an image without an index, its config names the
/// platform.
async fn of_platform(storage: &Storage, selector: &Selector, platform: &Platform) -> Result<Digest, ConfirmError> {
    let listing = Listing::read(storage, selector).await?;
    if let Content::Image(image) = &listing.top.content {
        let config = storage.config(&image.config).await?;
        Child::new(listing.top.manifest.clone(), &config, platform, &EntryOverride::default())?;
        return Ok(listing.top.manifest.digest().clone());
    }
    let entries: Vec<Descriptor> =
        listing.indexes().into_iter().flat_map(|(_, index)| index.manifests.clone()).collect();
    let chosen = choose(&entries, platform)?;
    match listing.get(chosen).map(|read| &read.content) {
        Ok(Content::Image(_)) => Ok(chosen.digest.clone()),
        Ok(Content::Index(_)) => Err(ChildError::IsIndex(chosen.digest.clone()).into()),
        Err(why) => Err(ConfirmError::Entry { platform: platform.clone(), why }),
    }
}
