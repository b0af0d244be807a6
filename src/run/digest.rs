//! The digest of what a name stands for, with as few requests as that needs.

use super::confirm::{ConfirmError, choose};
use super::listing::Listing;
use super::place::Place;
use super::verify::VerifyError;
use crate::oci::{Child, ChildError, Content, Descriptor, Digest, EntryOverride, Platform, Selector};
use crate::registry::Visibility;

/// The digest of what `selector` names; with a platform, of that one's image. The registry's word is taken for a tag,
/// as by everybody who pulls it; where it says nothing, the bytes are fetched and hashed.
///
/// # Errors
/// The registry does not answer with it, or it has no image of the platform, or more than one.
pub async fn digest(place: &Place, selector: &Selector, platform: Option<&Platform>) -> Result<Digest, VerifyError> {
    if let Some(platform) = platform {
        return of_platform(place, selector, platform).await.map_err(VerifyError::of_top);
    }
    let said = place.head(selector).await?.flatten();
    let believed = said.filter(|said| !matches!(selector, Selector::Digest(asked) if asked != said));
    if let Some(digest) = believed {
        return Ok(digest);
    }
    let manifest = place.manifest(selector, Visibility::Settled).await?;
    Ok(manifest.digest().clone())
}

/// The one image of `platform`, also where an index lists indexes; what is in no index says itself what it is.
async fn of_platform(place: &Place, selector: &Selector, platform: &Platform) -> Result<Digest, ConfirmError> {
    let listing = Listing::read(place, selector).await?;
    if let Content::Image(image) = &listing.top.content {
        let config = place.config(&image.config).await?;
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
