//! Decides which final tags move together: the tags of one image, or the tags of all images (`--atomic`).

use crate::plan::ImageNumber;

/// When final tags move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublishMode {
    /// The tags of an image move when the image is ready.
    #[default]
    EachImage,
    /// The tags of all images move when all images are ready (`--atomic`). If one image fails, no tag moves.
    AllImages,
}

/// Images on the way to their final tags. `P` holds the facts about an image that is ready.
pub(in crate::run) struct AtomicPublish<P> {
    mode: PublishMode,
    /// The number of images of the run.
    images: usize,
    ready: Vec<(ImageNumber, P)>,
    /// Why polyarch will not publish the images that are ready: the reason names the first image that was lost.
    lost: Option<String>,
}

/// The next step for an image that is ready.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run) enum Next<P> {
    /// Other images are not ready yet.
    Wait,
    /// The tags of these images move, in the order of the plan. If a gate refuses one image, no tag moves.
    Publish(Vec<(ImageNumber, P)>),
    /// The tags of the image do not move. The text is the reason.
    Withhold(String),
}

impl<P> AtomicPublish<P> {
    pub(in crate::run) fn new(mode: PublishMode, images: usize) -> Self {
        Self { mode, images, ready: Vec::new(), lost: None }
    }

    /// Takes an image that is ready.
    pub(in crate::run) fn ready(&mut self, image: ImageNumber, staged: P) -> Next<P> {
        if self.mode == PublishMode::EachImage {
            return Next::Publish(vec![(image, staged)]);
        }
        if let Some(reason) = &self.lost {
            return Next::Withhold(reason.clone());
        }
        self.ready.push((image, staged));
        if self.ready.len() < self.images {
            return Next::Wait;
        }
        self.ready.sort_by_key(|(image, _)| *image);
        Next::Publish(std::mem::take(&mut self.ready))
    }

    /// Notes an image that will not be ready. `what` is the event, such as `web failed`. Returns the images that
    /// polyarch now withholds, each with the reason.
    pub(in crate::run) fn lose(&mut self, what: &str) -> Vec<(ImageNumber, String)> {
        if self.mode == PublishMode::EachImage || self.lost.is_some() {
            return Vec::new();
        }
        let reason = withheld(what);
        self.lost = Some(reason.clone());
        std::mem::take(&mut self.ready).into_iter().map(|(image, _)| (image, reason.clone())).collect()
    }
}

/// The reason why tags do not move. `event` is the event at another image.
pub(in crate::run) fn withheld(event: &str) -> String {
    format!("{event}, and --atomic publishes all images or none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: usize) -> ImageNumber {
        ImageNumber(image)
    }

    #[test]
    fn each_image_is_published_as_soon_as_it_is_ready() {
        let mut each = AtomicPublish::new(PublishMode::EachImage, 2);
        assert_eq!(each.lose("a failed"), []);
        assert_eq!(each.ready(at(1), "b"), Next::Publish(vec![(at(1), "b")]));
    }

    #[test]
    fn atomic_images_are_published_in_plan_order_when_all_ready() {
        let mut all = AtomicPublish::new(PublishMode::AllImages, 3);
        assert_eq!(all.ready(at(2), "c"), Next::Wait);
        assert_eq!(all.ready(at(0), "a"), Next::Wait);
        assert_eq!(all.ready(at(1), "b"), Next::Publish(vec![(at(0), "a"), (at(1), "b"), (at(2), "c")]));
    }

    #[test]
    fn lost_image_withholds_all_and_the_first_loss_is_named() {
        let mut all = AtomicPublish::new(PublishMode::AllImages, 4);
        assert_eq!(all.ready(at(0), "a"), Next::Wait);
        let reason = "b failed, and --atomic publishes all images or none".to_owned();
        assert_eq!(all.lose("b failed"), [(at(0), reason.clone())]);
        assert_eq!(all.lose("c failed"), []);
        assert_eq!(all.ready(at(3), "d"), Next::Withhold(reason));
    }
}
